//! Two stores as one: a `Failover` over fresh stores of two kinds, healthy or with the first one dead.

use std::sync::Arc;
use std::time::Duration;

use lifeboat::BlobStore;
use lifeboat_core::http::HttpSettings;
use lifeboat_failover::{ConditionalWrites, Failover, HealthState, Settings};
use lifeboat_testkit::proxy::{Fault, FaultProxy};

use crate::{Kind, TestStore, fresh, http};

/// Which two.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    first: Kind,
    second: Kind,
    /// Nobody listens at the first, and the failover knows it.
    dead: bool,
}

impl Kind {
    /// A failover over SeaweedFS and Azurite.
    pub const SEAWEEDFS_AZURITE: Self = Self::Pair(&Pair::healthy(Self::SeaweedFs, Self::Azurite));
    /// A failover over Azurite and the GCS server.
    pub const AZURITE_GCS: Self = Self::Pair(&Pair::healthy(Self::Azurite, Self::Gcs));
    /// A failover over the GCS server and a folder.
    pub const GCS_FOLDER: Self = Self::Pair(&Pair::healthy(Self::Gcs, Self::Folder));
    /// A failover over memory and memory.
    pub const MEMORY_MEMORY: Self = Self::Pair(&Pair::healthy(Self::Memory, Self::Memory));
    /// A failover over SeaweedFS, which is dead, and the GCS server.
    pub const DEAD_SEAWEEDFS_GCS: Self = Self::Pair(&Pair::dead(Self::SeaweedFs, Self::Gcs));
    /// A failover over Azurite, which is dead, and SeaweedFS.
    pub const DEAD_AZURITE_SEAWEEDFS: Self =
        Self::Pair(&Pair::dead(Self::Azurite, Self::SeaweedFs));
    /// A failover over the GCS server, which is dead, and Azurite.
    pub const DEAD_GCS_AZURITE: Self = Self::Pair(&Pair::dead(Self::Gcs, Self::Azurite));

    /// The store that decides conditions: the first that lives.
    pub fn decider(self) -> Self {
        match self {
            Self::Pair(Pair { second, dead: true, .. }) => *second,
            Self::Pair(Pair { first, .. }) => *first,
            alone => alone,
        }
    }
}

impl Pair {
    const fn healthy(first: Kind, second: Kind) -> Self {
        Self { first, second, dead: false }
    }

    const fn dead(first: Kind, second: Kind) -> Self {
        Self { first, second, dead: true }
    }

    /// One process more over these backends. One whose first backend is dead must know that: what it wrote before might
    /// be there.
    async fn over(&self, backends: [Arc<dyn BlobStore>; 2]) -> Failover {
        let mut settings = Settings::default();
        if self.dead {
            // Nobody else writes, and the first does not decide.
            settings.conditional_writes = ConditionalWrites::Active;
        }
        let [first, second] = backends;
        let failover = Failover::builder()
            .seeded_backend(first)
            .seeded_backend(second)
            .settings(settings)
            .build()
            .unwrap();
        failover.loaded().await;
        let known = async {
            while self.dead && failover.status().backends[0].health != HealthState::Ejected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), known).await.unwrap();
        failover
    }
}

/// The two stores behind a failover, as it reaches them.
pub(crate) struct Behind {
    pair: &'static Pair,
    stores: [TestStore; 2],
    backends: [Arc<dyn BlobStore>; 2],
    _dead: Option<FaultProxy>,
}

impl Behind {
    pub(crate) async fn start(pair: &'static Pair) -> (Self, Failover) {
        let stores = [fresh(pair.first).await, fresh(pair.second).await];
        let mut backends = stores.each_ref().map(|fresh| Arc::clone(&fresh.store));
        let mut dead = None;
        if pair.dead {
            let (proxy, store) = stores[0].through_proxy(http()).await;
            proxy.set(Fault::Refuse);
            backends[0] = store;
            dead = Some(proxy);
        }
        let failover = pair.over(backends.clone()).await;
        (Self { pair, stores, backends, _dead: dead }, failover)
    }

    /// A fault proxy in front of the first server that lives, and one process more.
    pub(crate) async fn through_proxy(&self, http: HttpSettings) -> (FaultProxy, Failover) {
        let at = usize::from(self.pair.dead);
        let mut backends = self.backends.clone();
        let (proxy, store) = self.stores[at].through_proxy(http).await;
        backends[at] = store;
        (proxy, self.pair.over(backends).await)
    }
}
