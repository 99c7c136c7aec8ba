//! A name server with a script per name.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::net::UdpSocket;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// What a name says.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// One address after another, one per look-up; the last one for good.
    Turns(Vec<IpAddr>),
    /// Another name of this server.
    Alias(String),
    /// A failure of the server.
    Failure,
    /// Nothing, ever.
    Nothing,
}

#[derive(Debug, Default)]
struct Zone {
    says: HashMap<String, Says>,
    asked: HashMap<String, usize>,
}

/// The server.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<Mutex<Zone>>);

impl Names {
    /// Serves on port 53 of loopback until the runtime ends.
    pub async fn serve() -> Self {
        let names = Self::default();
        let socket = UdpSocket::bind("127.0.0.1:53").await.expect("port 53 is free in a new namespace");
        let zone = names.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = zone.answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        names
    }

    /// From now on `name` says this.
    pub fn put(&self, name: &str, says: Says) {
        self.zone().says.insert(name.to_owned(), says);
    }

    /// How often the IPv4 addresses of a name were asked for.
    pub fn asked(&self, name: &str) -> usize {
        self.zone().asked.get(name).copied().unwrap_or(0)
    }

    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to one datagram (RFC 1035); none where the script says nothing.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = read_name(query)?;
        let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
        let mut zone = self.zone();
        if kind == A {
            *zone.asked.entry(name.clone()).or_default() += 1;
        }
        let turn = zone.asked.get(&name).copied().unwrap_or(0).max(1) - 1;
        let (mut records, mut code) = (Vec::new(), 0);
        let mut says = zone.says.get(&name);
        if let Some(Says::Alias(target)) = says {
            records.push((CNAME, write_name(target)));
            says = zone.says.get(target);
        }
        match says {
            Some(Says::Addresses(all)) => records.extend(all.iter().map(record)),
            Some(Says::Turns(turns)) => records.extend(turns.get(turn).or(turns.last()).map(record)),
            Some(Says::Failure) => code = SERVFAIL,
            Some(Says::Nothing) => return None,
            Some(Says::Alias(_)) | None => code = NXDOMAIN,
        }
        records.retain(|(of, _)| *of == kind || *of == CNAME);
        let question = &query[12..end + 4];
        let count = u16::try_from(records.len()).ok()?.to_be_bytes();
        let mut out = query[..2].to_vec();
        out.extend([0x81, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
        out.extend_from_slice(question);
        let mut owner = vec![0xc0, 12]; // a pointer to the question's name
        for (of, data) in records {
            out.extend_from_slice(&owner);
            out.extend(of.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 0]); // class IN, kept for 0 s
            out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            out.extend_from_slice(&data);
            if of == CNAME {
                owner = data;
            }
        }
        Some(out)
    }
}

fn record(address: &IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    }
}

/// The question's name, lower-case, and where it ends.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}
