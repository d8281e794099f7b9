//! What can be said on the command line. Help, man pages and completions come from here; what the
//! commands do is in `commands`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::size::{parse_duration, parse_size};

/// The end of `--help`.
const AFTER_HELP: &str = "\
Locations:
  NAME:PATH         a key or folder of the backend NAME of the configuration
  s3://BUCKET/PATH?region=REGION  az://CONTAINER/PATH?account=NAME  gs://BUCKET/PATH
  PROVIDER://BUCKET/PATH?region=REGION
                    a provider of `lifeboat providers`, such as stackit://media?region=eu01
  PATH              a file or folder of this machine; begin with ./ what contains a colon

Output:
  Data go to standard output; messages, progress and errors to standard error. With --json,
  standard output is one JSON document (ls, journal ls, journal conflicts and status --watch: one
  JSON object per line), and an error is one line
  {\"error\": {\"kind\", \"message\", \"backend\", \"key\", \"remedy\", \"causes\"}} on standard error.

Exit codes:
  0    success; of a drill: no request failed, nothing was lost, all sides are equal
  1    some of several things failed, or a failure that no other code names: the object exists
       already or has changed, this machine failed (disk, permissions of files); of a drill:
       requests failed, or what it wrote could not all be removed
  2    usage or configuration: an unknown backend, provider or region, an invalid request or range
  3    credentials: missing, expired or not accepted
  4    not found: an object, a bucket, a file
  5    denied: the credentials may not do this
  6    the provider, or the path to it, is unavailable
  7    integrity: what was read is not what was written; of a drill: something was lost, stale or
       came back, or the sides differ
  8    not supported by the provider, or beyond its limits
  130  interrupted";

/// The end of `drill --help`.
const DRILL_HELP: &str = "\
Without --config the drill needs nothing: it starts two S3 endpoints of its own on loopback, breaks
the first of them on the wire and heals it. With --config (which must be given; a file that merely
lies there is not taken) it runs against all configured backends (two at least), below
.lifeboat/drill, and removes what it wrote. The outage is then injected on this side: the provider
notices nothing.

Scenarios: refused (connections are refused), blackhole (accepted, and nothing passes), hang
(requests have their effect, no answer comes), reset (in place of answers, then within bodies), slow
(a hundred times slower), errors (500 and 503), throttle (503 SlowDown), credentials (expired,
unknown), locked-out (403 for everything), dns (the name does not resolve), flap (gone and back
eight times), aws-2017-02-28 and aws-2025-10-20 (after Amazon's public summaries of these outages,
compressed).";

/// Keeps objects at two providers, so that the outage of either is a non-event, and proves it.
///
/// Backends are named in a configuration file (lifeboat.toml) or given as URLs. Try `lifeboat drill`
/// first: it needs neither an account nor a configuration.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be said with every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file; without it the one that `LIFEBOAT_CONFIG` names, else lifeboat.toml in the
    /// current folder if there is one
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON for programs (not for completions and man)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show every request to a provider, and how it ended, on standard error
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Rehearse an outage: a mixed load, a primary that breaks on schedule, and a check of every object
    Drill(Drill),
    /// Show how the configured backends are: health, journal, seeding
    Status(Status),
    /// Look at what backends have missed, and bring it to them
    Journal(Journal),
    /// Show the providers that Lifeboat knows: owner, jurisdiction, regions, endpoints
    Providers(Providers),
    /// Check backends: reachable, authenticated, writable, clock, capabilities, latency
    Check(Check),
    /// List objects
    Ls(Ls),
    /// Write an object to standard output
    Cat(Cat),
    /// Store a file, or standard input, as an object
    Put(Put),
    /// Copy objects between files and backends, or between backends
    Cp(Cp),
    /// Remove objects
    Rm(Rm),
    /// Show what is known of an object
    Stat(Stat),
    /// Copy a folder into an S3 endpoint, on to another store and back, with no account anywhere
    Demo(Demo),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page, or write one page per command into a folder
    Man(Man),
}

/// Arguments of `drill`.
#[derive(Debug, Args)]
#[command(after_help = DRILL_HELP)]
pub(crate) struct Drill {
    /// What breaks; several with commas, or all
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "blackhole",
          value_parser = scenario_names())]
    pub(crate) scenario: Vec<String>,
    /// How long each load lasts; the outage fills the middle of it [default: 20, and 10 for several]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(3..=86_400))]
    pub(crate) seconds: Option<u64>,
    /// Requests that are due in a second, whether earlier ones have ended or not
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Write a page with plots; it needs nothing from elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Do the same to a naive fallback over plain `object_store` clients, and show both; after a black
    /// hole this waits until it has noticed the outage, which takes three minutes
    #[arg(long)]
    pub(crate) compare_naive: bool,
    /// How long a write may still land after its client gave up, such as 15m: markers of ambiguous
    /// writes stay for so long [default: as configured; the length of the outage without --config]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) quarantine: Option<std::time::Duration>,
    /// Which requests are drawn: the same seed, the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Arguments of `journal`.
#[derive(Debug, Args)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub(crate) action: JournalAction,
}

/// What to do with the journal.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum JournalAction {
    /// List the markers: which backend may lack the latest state of which key
    Ls,
    /// Bring to every backend what it has missed, as far as the others have it
    Replay,
    /// List what was written on two sides at once, and where the loser is kept
    Conflicts,
    /// Compare the backends key by key, and settle what no marker knows of: after a writer was killed, or a provider
    /// lost data
    Mend(Mend),
}

/// Arguments of `journal mend`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Mend {
    /// Compare only keys that were written within this time, such as 2h, or that some backend lacks
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "unclean")]
    pub(crate) since: Option<Duration>,
    /// Compare only what writers that were killed may have left, as `status` tells it; nothing if there was none
    #[arg(long)]
    pub(crate) unclean: bool,
}

/// Arguments of `providers`.
#[derive(Debug, Args)]
pub(crate) struct Providers {
    /// Show one provider in detail
    #[arg(value_name = "ID", conflicts_with_all = ["jurisdiction", "country"])]
    pub(crate) id: Option<String>,
    /// Only providers whose owner is under this jurisdiction: eu, ch, uk, us, other, self-hosted
    #[arg(long, value_name = "JURISDICTION")]
    pub(crate) jurisdiction: Option<String>,
    /// Only providers with a region in this country (ISO 3166-1 alpha-2, such as DE), whoever owns
    /// them
    #[arg(long, value_name = "CODE", value_parser = parse_country)]
    pub(crate) country: Option<String>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Names of backends, or URLs; all backends of the configuration if none is given
    #[arg(value_name = "NAME|URL")]
    pub(crate) backends: Vec<String>,
    /// Skip everything that writes: whether the backend is writable, and the probed capabilities
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Fail (exit code 8) on warnings too, such as conditions that are ignored
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// What to list
    pub(crate) location: String,
    /// Everything below, not one folder
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// With size, time of the last modification, and ETag
    #[arg(short, long)]
    pub(crate) long: bool,
}

/// Arguments of `cat`.
#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Which object
    pub(crate) location: String,
    /// Only these bytes, the first and the last included: 0-99, 100- (from there on), -100 (the
    /// last hundred)
    #[arg(long, value_name = "A-B", allow_hyphen_values = true, value_parser = crate::range::parse_range)]
    pub(crate) range: Option<object_store::GetRange>,
}

/// Arguments of `put`.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// A file, or - for standard input
    pub(crate) file: PathBuf,
    /// Where to store it; a folder (trailing /) takes the name of the file
    pub(crate) location: String,
    /// Media type, such as text/plain
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// User metadata; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_metadata)]
    pub(crate) meta: Vec<(String, String)>,
    /// Fail if the object exists already; one request, so at most 256 MiB
    #[arg(long)]
    pub(crate) if_absent: bool,
}

/// Arguments of `cp`.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What to copy
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Where to: with -r the folder that receives what is below SRC; else the new object, or with a
    /// trailing / the folder it goes into
    #[arg(value_name = "DST")]
    pub(crate) target: String,
    /// Everything below SRC
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Read both sides again afterwards and compare them byte by byte, attributes included
    #[arg(long)]
    pub(crate) verify: bool,
    /// Objects that are copied at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Most memory for data in flight, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// Copy without attributes (content type, metadata) where the target cannot keep them, instead
    /// of failing
    #[arg(long)]
    pub(crate) drop_attributes: bool,
}

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// What to remove
    #[arg(value_name = "LOCATION", required = true)]
    pub(crate) locations: Vec<String>,
    /// Everything below, too
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Do not ask before removing recursively; needed where no terminal is there to answer
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of `stat`.
#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// Which object
    pub(crate) location: String,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder to copy; a generated sample if none is given
    pub(crate) folder: Option<PathBuf>,
    /// Keep the folders that were written, and say where they are
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write one page per command into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// The scenarios, and all of them.
fn scenario_names() -> clap::builder::PossibleValuesParser {
    let names = lifeboat_drill::Scenario::ALL.into_iter().map(lifeboat_drill::Scenario::name);
    clap::builder::PossibleValuesParser::new(names.chain(["all"]))
}

/// Reads two letters, as of ISO 3166-1 alpha-2.
fn parse_country(text: &str) -> Result<String, String> {
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_code { Ok(text.into()) } else { Err("give two letters, such as DE".into()) }
}

/// Reads `KEY=VALUE`.
fn parse_metadata(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("give KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn country_is_two_letters() {
        assert!(parse_country("de").is_ok());
        assert!(["DEU", "D", "D1", ""].into_iter().all(|text| parse_country(text).is_err()));
    }

    #[test]
    fn metadata_needs_a_key_and_keeps_further_equals_signs() {
        assert_eq!(parse_metadata("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_metadata("=b").is_err() && parse_metadata("a").is_err());
    }
}
