//! Which peer sent a packet: a small number instead of an address, from a bounded cache.
//!
//! A consumer makes one object per number and keeps it; a number whose version has changed stands for another
//! peer. Whoever forges sender addresses can make the cache miss, but not grow, and cannot choose its victims:
//! the places depend on a random seed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::address::{Family, NAME_BYTES, SockAddr};
use super::columns::{Columns, PeerEntry};

/// Peers that a cache holds.
pub const PEERS: usize = 4096;
/// Bytes of an entry of the exported table.
pub const PEER_ENTRY_BYTES: usize = 32;
/// The row's peer has no number: ask [`Receiver::source`](super::Receiver::source).
pub const NO_PEER: u32 = u32::MAX;

const WAYS: usize = 8;
const SETS: usize = PEERS / WAYS;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The 28 bytes of a name without the flow label, as words.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Key([u64; 3]);

impl Key {
    #[inline]
    fn of(name: &[u8; NAME_BYTES]) -> Key {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&name[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        if name[V6_BYTE] == libc::AF_INET as u8 {
            return Key([word(0), 0, 0]);
        }
        // Family and port, then the scope where the flow label was.
        let head = [name[0], name[1], name[2], name[3], name[24], name[25], name[26], name[27]];
        Key([u64::from_ne_bytes(head), word(8), word(16)])
    }

    fn name(&self) -> SockAddr {
        let mut raw = [0; NAME_BYTES];
        let head = self.0[0].to_ne_bytes();
        if head[V6_BYTE] == libc::AF_INET as u8 {
            raw[..8].copy_from_slice(&head);
            return SockAddr::from_raw(raw, 16);
        }
        raw[..4].copy_from_slice(&head[..4]);
        raw[8..16].copy_from_slice(&self.0[1].to_ne_bytes());
        raw[16..24].copy_from_slice(&self.0[2].to_ne_bytes());
        raw[24..28].copy_from_slice(&head[4..]);
        SockAddr::from_raw(raw, 28)
    }

    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        let [a, b, c] = self.0;
        mix(mix(a ^ seed, b ^ 0x9e37_79b9_7f4a_7c15) ^ seed.rotate_left(32), c ^ 0xe703_7ed1_a0b4_28db)
    }
}

/// The byte of a name that tells IPv4 from IPv6.
const V6_BYTE: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) && cfg!(target_endian = "little") {
        0
    } else {
        1
    };

/// Folded multiplication: every bit of the result depends on every bit of both.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Set-associative, 8 ways, the longest unused peer of a set is replaced.
pub(super) struct PeerCache {
    columns: Arc<Columns>,
    seed: u64,
    last: Key,
    last_id: u32,
    batch: u32,
    /// Per set, one byte a way: 0 for none, else 0x80 and 7 bits of the hash.
    tags: Box<[u64]>,
    keys: Box<[Key]>,
    /// The batch that used it last. Wraps: after 2^32 batches an entry may look fresh, and is spared once.
    used: Box<[u32]>,
    versions: Box<[u32]>,
    pub(super) misses: u64,
    pub(super) uncached: u64,
}

impl PeerCache {
    pub(super) fn new(columns: Arc<Columns>) -> PeerCache {
        PeerCache {
            columns,
            seed: RandomState::new().hash_one(0x5741_4954_u32),
            last: Key::default(),
            last_id: NO_PEER,
            batch: 1,
            tags: vec![0; SETS].into(),
            keys: vec![Key::default(); PEERS].into(),
            used: vec![0; PEERS].into(),
            versions: vec![0; PEERS].into(),
            misses: 0,
            uncached: 0,
        }
    }

    /// Peers found from now on are safe from replacement until the next call.
    pub(super) fn begin_batch(&mut self) {
        self.batch = self.batch.wrapping_add(1);
        self.last_id = NO_PEER;
    }

    /// The peer's number, or [`NO_PEER`] when every place where it could be is in use by this batch.
    #[inline]
    pub(super) fn find(&mut self, name: &[u8; NAME_BYTES]) -> u32 {
        let key = Key::of(name);
        if key == self.last && self.last_id != NO_PEER {
            return self.last_id;
        }
        let id = self.search(key);
        (self.last, self.last_id) = (key, id);
        id
    }

    fn search(&mut self, key: Key) -> u32 {
        let hash = key.hash(self.seed);
        let set = (hash >> 8) as usize % SETS;
        let tag = (hash & 0x7f) | 0x80;
        let tags = self.tags[set];
        // Bytes that equal the tag become 0, and a 0 byte sets its high bit; a borrow may set one too many.
        let differs = tags ^ (tag * LOW_BITS);
        let mut candidates = differs.wrapping_sub(LOW_BITS) & !differs & HIGH_BITS;
        while candidates != 0 {
            let id = set * WAYS + candidates.trailing_zeros() as usize / 8;
            if self.keys[id] == key {
                self.used[id] = self.batch;
                return id as u32;
            }
            candidates &= candidates - 1;
        }
        self.insert(key, set, tag)
    }

    #[cold]
    fn insert(&mut self, key: Key, set: usize, tag: u64) -> u32 {
        self.misses += 1;
        let ways = set * WAYS..(set + 1) * WAYS;
        let age = |id: usize| {
            if self.versions[id] == 0 { u32::MAX } else { self.batch.wrapping_sub(self.used[id]) }
        };
        let Some(victim) = ways.max_by_key(|&id| age(id)).filter(|&id| age(id) > 0) else {
            self.uncached += 1;
            return NO_PEER;
        };
        let shift = victim % WAYS * 8;
        self.tags[set] = (self.tags[set] & !(0xff << shift)) | (tag << shift);
        self.keys[victim] = key;
        self.used[victim] = self.batch;
        // 0 means never used, also after a wrap.
        self.versions[victim] = self.versions[victim].wrapping_add(1).max(1);
        let entry = self.entry(victim);
        self.columns.write_peer(victim as u32, &entry);
        victim as u32
    }

    fn entry(&self, id: usize) -> PeerEntry {
        let name = self.keys[id].name();
        let mut address = [0; 16];
        let family = match name.family() {
            Some(Family::V4) => {
                address[..4].copy_from_slice(&name.raw()[4..8]);
                4
            }
            Some(Family::V6) => {
                address.copy_from_slice(&name.raw()[8..24]);
                6
            }
            None => 0,
        };
        let version = self.versions[id];
        PeerEntry { family, port: name.port(), scope: name.scope_id(), address, version }
    }

    /// The address and version of a number, if it was ever given out.
    pub(super) fn get(&self, id: u32) -> Option<(SockAddr, u32)> {
        let version = *self.versions.get(id as usize)?;
        (version > 0).then(|| (self.keys[id as usize].name(), version))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::SocketAddr;

    use super::*;

    fn cache() -> PeerCache {
        PeerCache::new(Arc::new(Columns::new(1).unwrap()))
    }

    fn address(number: u32) -> SocketAddr {
        let port = 1 + (number % 60_000) as u16;
        if number.is_multiple_of(3) {
            SocketAddr::from((std::net::Ipv6Addr::from(u128::from(number) << 64 | 1), port))
        } else {
            SocketAddr::from((std::net::Ipv4Addr::from(number), port))
        }
    }

    #[test]
    fn a_batch_never_loses_a_peer_that_it_has_seen() {
        let mut cache = cache();
        for round in 0..20_u32 {
            cache.begin_batch();
            let mut found = HashMap::new();
            // Six times as many as there are places: no set stays short of its eight but by a miracle.
            for number in 0..6 * PEERS as u32 {
                let peer = address(round * 1_000_003 + number);
                let id = cache.find(SockAddr::from(peer).raw());
                if id != NO_PEER {
                    assert!(found.insert(id, peer).is_none(), "a number was given twice in one batch");
                }
            }
            assert_eq!(found.len(), PEERS, "places stayed empty");
            for (id, peer) in found {
                assert_eq!(cache.get(id).unwrap().0.to_socket_addr(), Some(peer));
                assert_eq!(cache.find(SockAddr::from(peer).raw()), id);
            }
        }
        assert!(cache.uncached > 0);
    }

    #[test]
    fn the_last_peer_of_a_batch_is_safe_in_the_next_one_too() {
        let mut cache = cache();
        let last = SockAddr::from(address(1));
        cache.begin_batch();
        let id = cache.find(last.raw());
        cache.begin_batch();
        assert_eq!(cache.find(last.raw()), id);
        for number in 2..6 * PEERS as u32 {
            cache.find(SockAddr::from(address(number)).raw());
        }
        assert_eq!(cache.get(id).map(|(peer, _)| peer), Some(last));
    }

    #[test]
    fn a_number_changes_its_version_whenever_it_changes_its_peer() {
        let mut cache = cache();
        let mut known: HashMap<(u32, u32), SocketAddr> = HashMap::new();
        for number in 0..50_000 {
            cache.begin_batch();
            let peer = address(number % 9973);
            let id = cache.find(SockAddr::from(peer).raw());
            let (_, version) = cache.get(id).unwrap();
            assert_eq!(*known.entry((id, version)).or_insert(peer), peer);
        }
    }

    #[test]
    fn a_peer_in_use_outlives_those_that_come_once() {
        let mut cache = cache();
        let regular = SockAddr::from(address(1));
        cache.begin_batch();
        let id = cache.find(regular.raw());
        for number in 0..100_000 {
            cache.begin_batch();
            assert_eq!(cache.find(regular.raw()), id);
            cache.find(SockAddr::from(address(1_000_000 + number)).raw());
        }
    }

    #[test]
    fn flow_labels_do_not_make_peers_and_scopes_do() {
        let mut cache = cache();
        cache.begin_batch();
        let plain: SocketAddr = "[fe80::1%2]:9".parse().unwrap();
        let other: SocketAddr = "[fe80::1%3]:9".parse().unwrap();
        let mut labelled = *SockAddr::from(plain).raw();
        labelled[4..8].copy_from_slice(&[1, 2, 3, 4]);
        let id = cache.find(SockAddr::from(plain).raw());
        assert_eq!(cache.find(&labelled), id);
        assert_ne!(cache.find(SockAddr::from(other).raw()), id);
        assert_eq!(cache.get(id).unwrap().0.to_socket_addr(), Some(plain));
    }
}
