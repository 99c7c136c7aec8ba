//! Name resolution as the system has it configured, without a thread: `/etc/hosts`, then the servers, search domains and
//! `ndots` of `/etc/resolv.conf`. A change of either file counts from the next look-up on.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
};

/// An answer is used for its TTL, at most so long.
const KEPT: Duration = Duration::from_secs(300);
/// "There is no such name" is believed for its TTL, at most so long.
const MISSING_KEPT: Duration = Duration::from_secs(5);
/// Answers kept.
const ANSWERS: u64 = 2048;
/// Queries that may be open on one connection to a server: more than attempts can be under way.
const QUERIES: usize = 4096;

/// The addresses of a name; none where it did not resolve.
type Answer = Option<Arc<[IpAddr]>>;
type LookUp = BoxFuture<'static, Answer>;

/// The system's resolver. There is at most one look-up under way for a name, shared by all who wait for it; it ends with
/// the last of them. So the look-ups are never more than the attempts, and no name waits for another.
#[derive(Debug)]
pub(super) struct SystemDns {
    present: Mutex<Option<Arc<Configured>>>,
    under_way: Mutex<HashMap<String, WeakShared<LookUp>>>,
    /// Where the files are, and the port of the servers; others in tests.
    etc: PathBuf,
    port: u16,
}

impl Default for SystemDns {
    fn default() -> Self {
        Self::new(PathBuf::from("/etc"), 53)
    }
}

/// What the files said when they were last read.
#[derive(Debug)]
struct Configured {
    read_at: [Option<SystemTime>; 2],
    hosts: Hosts,
    resolver: Option<TokioResolver>,
}

impl SystemDns {
    pub(super) fn new(etc: PathBuf, port: u16) -> Self {
        Self { present: Mutex::default(), under_way: Mutex::default(), etc, port }
    }

    pub async fn addresses(&self, name: &str) -> Answer {
        self.look_up(name).await
    }

    fn look_up(&self, name: &str) -> Shared<LookUp> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, look_up| look_up.upgrade().is_some_and(|look_up| look_up.peek().is_none()));
        if let Some(shared) = under_way.get(name).and_then(WeakShared::upgrade) {
            return shared;
        }
        let (configured, asked) = (self.configured(), name.to_owned());
        let shared = async move { configured.resolve(&asked).await }.boxed().shared();
        if let Some(weak) = shared.downgrade() {
            under_way.insert(name.to_owned(), weak);
        }
        shared
    }

    fn configured(&self) -> Arc<Configured> {
        let files = [self.etc.join("hosts"), self.etc.join("resolv.conf")];
        let read_at = files.clone().map(|file| file.metadata().and_then(|data| data.modified()).ok());
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        match &*present {
            Some(configured) if configured.read_at == read_at => configured.clone(),
            _ => present.insert(Arc::new(Configured::read(files, read_at, self.port))).clone(),
        }
    }
}

impl Configured {
    fn read([hosts, resolv]: [PathBuf; 2], read_at: [Option<SystemTime>; 2], port: u16) -> Self {
        let mut known = Hosts::default();
        if let Ok(text) = std::fs::read(hosts)
            && let Err(error) = known.read_hosts_conf(text.as_slice())
        {
            tracing::warn!(%error, "the system's hosts file could not be read");
        }
        Self { read_at, hosts: known, resolver: resolver(&resolv, port) }
    }

    async fn resolve(&self, name: &str) -> Answer {
        let name = Name::from_str_relaxed(name).ok()?;
        // As the system does: a name that the file knows is not asked for, not even for its other family.
        let listed: Arc<[IpAddr]> = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|family| self.hosts.lookup_static_host(&Query::query(name.clone(), family)))
            .flat_map(|found| {
                found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
            })
            .collect();
        if !listed.is_empty() {
            return Some(listed);
        }
        let found = self.resolver.as_ref()?.lookup_ip(name).await.ok()?;
        let found: Arc<[IpAddr]> = found.iter().collect();
        (!found.is_empty()).then_some(found)
    }
}

fn resolver(resolv: &Path, port: u16) -> Option<TokioResolver> {
    use hickory_resolver::system_conf::parse_resolv_conf;
    // Without the file, or a server in it, the system asks this machine.
    let this_machine = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
    let (mut config, mut options) =
        std::fs::read(resolv).ok().and_then(|text| parse_resolv_conf(text).ok()).unwrap_or_else(|| {
            (ResolverConfig::from_parts(None, Vec::new(), vec![this_machine]), Default::default())
        });
    for connection in config.name_servers.iter_mut().flat_map(|server| &mut server.connections) {
        connection.port = port;
    }
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(KEPT);
    options.negative_max_ttl = Some(MISSING_KEPT);
    options.cache_size = ANSWERS;
    options.max_active_requests = QUERIES;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().inspect_err(|error| tracing::error!(%error, "no resolver could be made")).ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server that knows the names that begin with `well`, and counts what it is asked.
    async fn name_server() -> (u16, Arc<Mutex<HashMap<Vec<u8>, usize>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked: Arc<Mutex<HashMap<Vec<u8>, usize>>> = Arc::default();
        let counts = asked.clone();
        tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let end = 12 + query[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
                let question = &query[12..end];
                *counts.lock().unwrap().entry(question.to_ascii_lowercase()).or_default() += 1;
                if !question[1..].to_ascii_lowercase().starts_with(b"well") {
                    continue;
                }
                let is_a = question[question.len() - 3] == 1;
                let mut answer = query[..2].to_vec();
                answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
                answer.extend(question);
                if is_a {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        (port, asked)
    }

    fn etc(hosts: &str) -> tempfile::TempDir {
        let etc = tempfile::tempdir().unwrap();
        std::fs::write(etc.path().join("hosts"), hosts).unwrap();
        std::fs::write(etc.path().join("resolv.conf"), "nameserver 127.0.0.1\nsearch corp.example\n")
            .unwrap();
        etc
    }

    #[tokio::test]
    async fn names_that_never_resolve_keep_no_other_waiting() {
        let (port, asked) = name_server().await;
        let etc = etc("");
        let dns = Arc::new(SystemDns::new(etc.path().to_path_buf(), port));
        let look_up = |name: String| {
            let dns = dns.clone();
            tokio::spawn(async move { dns.addresses(&name).await })
        };
        let dead: Vec<_> = (0..300).map(|n| look_up(format!("dead{n}.example."))).collect();
        // Several at once for one name, which the server is asked for once.
        let well: Vec<_> = (0..50).map(|n| look_up(format!("well{}.example.", n % 10))).collect();
        for answer in well {
            assert_eq!(answer.await.unwrap().as_deref(), Some(&[IpAddr::from([192, 0, 2, 7])][..]));
        }
        assert!(dead.iter().all(|look_up| !look_up.is_finished()));
        let asked = asked.lock().unwrap();
        let times: Vec<usize> =
            asked.iter().filter(|(name, _)| name[1..].starts_with(b"well")).map(|(_, n)| *n).collect();
        assert_eq!(times, vec![1; 20], "ten names, two families, each once");
        dead.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn the_hosts_file_and_the_search_domains_count_as_they_are_now() {
        let (port, asked) = name_server().await;
        let etc = etc("192.0.2.1 here.example\n");
        let dns = SystemDns::new(etc.path().to_path_buf(), port);
        let first = |answer: Answer| answer.map(|addresses| addresses[0].to_string());
        assert_eq!(first(dns.addresses("here.example").await).as_deref(), Some("192.0.2.1"));
        assert!(asked.lock().unwrap().is_empty(), "a listed name is not asked for");
        assert_eq!(first(dns.addresses("well").await).as_deref(), Some("192.0.2.7"));
        let searched = |(name, _): (&Vec<u8>, &usize)| name.windows(4).any(|part| part == b"corp");
        assert!(asked.lock().unwrap().iter().any(searched));
        let hosts = etc.path().join("hosts");
        std::fs::write(&hosts, "192.0.2.2 here.example\n").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        std::fs::File::options().append(true).open(&hosts).unwrap().set_modified(later).unwrap();
        assert_eq!(first(dns.addresses("here.example").await).as_deref(), Some("192.0.2.2"));
    }
}
