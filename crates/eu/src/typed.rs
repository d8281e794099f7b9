//! Builders whose regions are types, for the providers that people move to most. All of them are
//! one macro over [`S3Compatible`]; what differs is in the data file.

use std::fmt;

use lifeboat_core::Error;
use lifeboat_core::http::HttpSettings;
use lifeboat_s3::{Credentials, S3Store};

use crate::compatible::S3Compatible;

/// Defines a builder and the type of its regions.
macro_rules! builder {
    (
        $(#[$doc:meta])*
        $name:ident($id:literal $(, $account:ident = $sample:literal)?)
        $region:ident {
            $first:ident = $first_id:literal $first_place:literal
            $(, $variant:ident = $variant_id:literal $place:literal)* $(,)?
        }
    ) => {
        $(#[$doc])*
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("use lifeboat_eu::{", stringify!($name), ", ", stringify!($region), "};")]
        /// use lifeboat_s3::{Credentials, StaticKey};
        ///
        /// # fn main() -> Result<(), lifeboat_core::Error> {
        #[doc = concat!(
            "let store = ", stringify!($name),
            "::new(", stringify!($region), "::", stringify!($first),
            $(", \"", $sample, "\"",)? ", \"my-bucket\")"
        )]
        ///     .with_credentials(Credentials::Static(StaticKey::new("access-key", "secret-key")))
        ///     .build()?;
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Debug, Clone)]
        #[must_use]
        pub struct $name(S3Compatible);

        impl $name {
            /// The provider's id in the catalogue.
            pub const PROVIDER: &'static str = $id;

            /// A bucket in a region.
            pub fn new(
                region: $region,
                $($account: impl Into<String>,)?
                bucket: impl Into<String>,
            ) -> Self {
                let builder = S3Compatible::new($id, bucket).with_region(region.as_str());
                $(let builder = builder.with_account($account);)?
                Self(builder)
            }

            /// A bucket whose region, account and endpoint stand in the environment: see
            /// [`S3Compatible::from_env`].
            ///
            /// # Errors
            /// As [`S3Compatible::from_env`].
            pub fn from_env(bucket: impl Into<String>) -> Result<Self, Error> {
                S3Compatible::from_env($id, bucket).map(Self)
            }

            /// Sends requests to another endpoint, such as a private one.
            pub fn with_endpoint(self, endpoint: impl Into<String>) -> Self {
                Self(self.0.with_endpoint(endpoint))
            }

            /// Names the source of the access key. Without it the environment is: see
            /// [`S3Compatible`].
            pub fn with_credentials(self, credentials: Credentials) -> Self {
                Self(self.0.with_credentials(credentials))
            }

            /// Sets deadlines, retries, proxy and certificates.
            pub fn with_http(self, http: HttpSettings) -> Self {
                Self(self.0.with_http(http))
            }

            /// Checks whole-object reads against the provider's checksum. On by default.
            pub fn with_verify_reads(self, verify: bool) -> Self {
                Self(self.0.with_verify_reads(verify))
            }

            /// Gives the backend an id of one's own, used in journal names and metrics.
            pub fn with_id(self, id: impl Into<String>) -> Self {
                Self(self.0.with_id(id))
            }

            /// Builds the backend. Nothing is sent.
            ///
            /// # Errors
            /// As [`S3Compatible::build`].
            pub fn build(self) -> Result<S3Store, Error> {
                self.0.build()
            }
        }

        impl From<$name> for S3Compatible {
            fn from(builder: $name) -> Self {
                builder.0
            }
        }

        #[doc = concat!("The regions of [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $region {
            #[doc = concat!("`", $first_id, "`: ", $first_place, ".")]
            $first,
            $(
                #[doc = concat!("`", $variant_id, "`: ", $place, ".")]
                $variant,
            )*
        }

        impl $region {
            /// All regions.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$variant),*];

            /// The provider's own name of the region.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_id,
                    $(Self::$variant => $variant_id,)*
                }
            }
        }

        impl fmt::Display for $region {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

builder! {
    /// STACKIT Object Storage (Schwarz Group, Germany).
    ///
    /// # Provider notes
    ///
    /// - `If-None-Match` and `If-Match` are ignored: puts with `PutMode::Create` and `Update` are
    ///   refused with `NotSupported` before anything is sent.
    /// - Checksum headers of current SDKs are not taken, so none are sent: the signed hash of the
    ///   payload protects uploads, and keys are deleted one by one.
    /// - Access keys belong to a credentials group of the project.
    Stackit("stackit")
    StackitRegion {
        Eu01 = "eu01" "Neckarsulm and Ellhofen, Germany",
        Eu02 = "eu02" "Ostermiething, Austria",
    }
}

builder! {
    /// OVHcloud Object Storage (France).
    ///
    /// # Provider notes
    ///
    /// - Conditional writes are enforced, everywhere since June 2026.
    /// - Objects of up to 48 TiB.
    /// - Regions in the United States belong to a separate company under US law: provider
    ///   `ovhcloud-us`, with [`S3Compatible`].
    Ovhcloud("ovhcloud")
    OvhcloudRegion {
        Gra = "gra" "Gravelines, France",
        Rbx = "rbx" "Roubaix, France",
        Sbg = "sbg" "Strasbourg, France",
        EuWestPar = "eu-west-par" "Paris, France (3 zones)",
        EuSouthMil = "eu-south-mil" "Milan, Italy (3 zones)",
        De = "de" "Frankfurt, Germany",
        Uk = "uk" "London, United Kingdom",
        Waw = "waw" "Warsaw, Poland",
        RbxArchive = "rbx-archive" "Roubaix, France (cold archive)",
        Bhs = "bhs" "Beauharnois, Canada",
        CaEastTor = "ca-east-tor" "Toronto, Canada",
        Sgp = "sgp" "Singapore",
        ApSoutheastSyd = "ap-southeast-syd" "Sydney, Australia",
        ApSouthMum = "ap-south-mum" "Mumbai, India",
    }
}

builder! {
    /// Scaleway Object Storage (iliad, France).
    ///
    /// # Provider notes
    ///
    /// - A multipart upload has at most 1,000 parts, a tenth of Amazon's. Small parts are gathered
    ///   into larger ones, so that writers need not know.
    /// - Conditional writes are enforced, since July 2026.
    /// - `SCW_ACCESS_KEY` and `SCW_SECRET_KEY` are read too.
    Scaleway("scaleway")
    ScalewayRegion {
        FrPar = "fr-par" "Paris, France",
        NlAms = "nl-ams" "Amsterdam, Netherlands",
        PlWaw = "pl-waw" "Warsaw, Poland",
        ItMil = "it-mil" "Milan, Italy",
    }
}

builder! {
    /// Hetzner Object Storage (Germany).
    ///
    /// # Provider notes
    ///
    /// - `If-None-Match: *` is enforced. `If-Match` is refused for the `ETag` as Hetzner itself
    ///   gives it, in quotes, so `PutMode::Update` is `NotSupported`.
    /// - Checksum headers of current SDKs are not taken, so none are sent, and keys are deleted one
    ///   by one.
    /// - Runs on Ceph: the `ETag` of a single put is the MD5 of the body, and reads are checked
    ///   against it.
    Hetzner("hetzner")
    HetznerRegion {
        Fsn1 = "fsn1" "Falkenstein, Germany",
        Nbg1 = "nbg1" "Nuremberg, Germany",
        Hel1 = "hel1" "Helsinki, Finland",
    }
}

builder! {
    /// IONOS Cloud Object Storage (United Internet, Germany).
    ///
    /// # Provider notes
    ///
    /// - Buckets in `de` are owned by a user, elsewhere by the contract, with separate keys.
    /// - One upload is 5,000,000,000 bytes at most, a little less than Amazon's 5 GiB.
    /// - Whether conditions are enforced is not documented: the first conditional put asks.
    /// - `IONOS_S3_ACCESS_KEY` and `IONOS_S3_SECRET_KEY` are read too.
    Ionos("ionos")
    IonosRegion {
        De = "de" "Frankfurt, Germany (user-owned buckets)",
        EuCentral2 = "eu-central-2" "Berlin, Germany",
        EuSouth2 = "eu-south-2" "Logroño, Spain",
        EuCentral3 = "eu-central-3" "Berlin, Germany",
        EuCentral4 = "eu-central-4" "Frankfurt, Germany",
        UsCentral1 = "us-central-1" "Lenexa, United States",
    }
}

builder! {
    /// Exoscale SOS (A1 Digital; Swiss company, Austrian and Mexican parents).
    ///
    /// # Provider notes
    ///
    /// - Conditional writes are enforced, and checksums are taken.
    /// - Objects of up to 4 TiB. No object tags: they are left out.
    /// - `EXOSCALE_API_KEY` and `EXOSCALE_API_SECRET` are read too.
    Exoscale("exoscale")
    ExoscaleRegion {
        ChGva2 = "ch-gva-2" "Geneva, Switzerland",
        ChDk2 = "ch-dk-2" "Zurich, Switzerland",
        DeFra1 = "de-fra-1" "Frankfurt, Germany",
        DeMuc1 = "de-muc-1" "Munich, Germany",
        AtVie1 = "at-vie-1" "Vienna, Austria",
        AtVie2 = "at-vie-2" "Vienna, Austria",
        BgSof1 = "bg-sof-1" "Sofia, Bulgaria",
        HrZag1 = "hr-zag-1" "Zagreb, Croatia",
    }
}

builder! {
    /// UpCloud Managed Object Storage (Finland).
    ///
    /// # Provider notes
    ///
    /// - Each service has a host name of its own; `service` is its first label, such as `mud5q` of
    ///   `mud5q.upcloudobjects.com`. For traffic inside a private network it is `mud5q-private`.
    /// - Checksum headers of current SDKs are not taken, so none are sent, and keys are deleted one
    ///   by one.
    /// - Whether conditions are enforced is not documented: the first conditional put asks.
    UpCloud("upcloud", service = "mud5q")
    UpCloudRegion {
        Europe1 = "europe-1" "Helsinki, Finland",
        Europe2 = "europe-2" "Frankfurt, Germany",
        Europe3 = "europe-3" "Stockholm, Sweden",
        Us1 = "us-1" "Chicago, United States",
        Apac1 = "apac-1" "Singapore",
    }
}

builder! {
    /// Open Telekom Cloud OBS (Deutsche Telekom, Germany).
    ///
    /// # Provider notes
    ///
    /// - Conditions on puts are not enforced: puts with `PutMode::Create` and `Update` are refused
    ///   with `NotSupported` before anything is sent.
    /// - Checksum headers of current SDKs are not taken, so none are sent, and keys are deleted one
    ///   by one.
    /// - Parts may be as small as 100 KiB, objects as large as 48.8 TB.
    /// - `OS_ACCESS_KEY` and `OS_SECRET_KEY` are read too.
    OpenTelekomCloud("open-telekom-cloud")
    OpenTelekomCloudRegion {
        EuDe = "eu-de" "Magdeburg and Biere, Germany",
        EuNl = "eu-nl" "Netherlands",
        EuCh2 = "eu-ch2" "Switzerland",
    }
}

builder! {
    /// Infomaniak Public Cloud Object Storage (Switzerland).
    ///
    /// # Provider notes
    ///
    /// - Runs on Swift, which takes 1,000 parts in a multipart upload unless configured
    ///   otherwise. Small parts are gathered into larger ones.
    /// - `If-Match` on puts is not implemented, so `PutMode::Update` is `NotSupported`. Whether
    ///   `If-None-Match: *` is enforced is not known: the first such put asks.
    /// - Requests are signed for `us-east-1` in both regions.
    Infomaniak("infomaniak")
    InfomaniakRegion {
        Dc3A = "dc3-a" "Geneva area, Switzerland",
        Dc4A = "dc4-a" "Geneva area, Switzerland",
    }
}

builder! {
    /// Cleura Object Storage (Sweden).
    ///
    /// # Provider notes
    ///
    /// - Runs on Ceph: the `ETag` of a single put is the MD5 of the body, and reads are checked
    ///   against it.
    /// - Checksum headers of current SDKs are not taken, so none are sent, and keys are deleted one
    ///   by one.
    /// - Requests are signed for `us-east-1` in all regions.
    /// - Whether conditions are enforced is not documented: the first conditional put asks.
    Cleura("cleura")
    CleuraRegion {
        Kna1 = "kna1" "Karlskrona, Sweden",
        Sto2 = "sto2" "Stockholm, Sweden",
        Fra1 = "fra1" "Frankfurt, Germany",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn typed_regions_are_those_of_the_catalogue() {
        macro_rules! check {
            ($($name:ident $region:ident),+ $(,)?) => {$(
                let known = &Catalogue::builtin().get($name::PROVIDER).unwrap().regions;
                let known: Vec<_> = known.iter().map(|region| region.id.as_str()).collect();
                let typed: Vec<_> = $region::ALL.iter().map(|region| region.as_str()).collect();
                assert_eq!(typed, known, "{}", $name::PROVIDER);
            )+};
        }
        check!(
            Stackit StackitRegion,
            Ovhcloud OvhcloudRegion,
            Scaleway ScalewayRegion,
            Hetzner HetznerRegion,
            Ionos IonosRegion,
            Exoscale ExoscaleRegion,
            UpCloud UpCloudRegion,
            OpenTelekomCloud OpenTelekomCloudRegion,
            Infomaniak InfomaniakRegion,
            Cleura CleuraRegion,
        );
    }
}
