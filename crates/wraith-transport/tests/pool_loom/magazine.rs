//! Magazines: their owner and those who rob them.

use loom::sync::Arc;
use loom::thread;
use wraith_transport::pool::magazine::Magazine;

use crate::support::model;

/// A magazine and the thread that owns it.
#[expect(unsafe_code, reason = "only the model's main thread owns a magazine")]
mod owned {
    use super::Magazine;

    pub(super) fn put(magazine: &Magazine<u32>, item: u32) -> Result<(), u32> {
        // SAFETY: called by the main thread alone.
        unsafe { magazine.put(item) }
    }

    pub(super) fn take(magazine: &Magazine<u32>) -> Option<u32> {
        // SAFETY: called by the main thread alone.
        unsafe { magazine.take() }
    }
}

#[test]
fn a_robbed_magazine_gives_each_item_once() {
    model(None, || {
        let magazine = Arc::new(Magazine::new(3));
        owned::put(&magazine, 1).unwrap();
        owned::put(&magazine, 2).unwrap();
        let robber = {
            let magazine = Arc::clone(&magazine);
            thread::spawn(move || {
                let mut robbed = Vec::new();
                let first = magazine.rob(|item| robbed.push(item));
                robbed.extend(first);
                robbed
            })
        };
        // The owner does not wait for a robber: what it cannot put it keeps, what it cannot take it leaves.
        let mut seen: Vec<u32> = owned::put(&magazine, 3).err().into_iter().collect();
        seen.extend(owned::take(&magazine));
        seen.extend(robber.join().unwrap());
        assert_eq!(magazine.fill() as usize, 3 - seen.len());
        seen.extend(magazine.close());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    });
}

#[test]
fn robbers_exclude_each_other_and_the_owner() {
    model(Some(3), || {
        let magazine = Arc::new(Magazine::new(3));
        owned::put(&magazine, 1).unwrap();
        owned::put(&magazine, 2).unwrap();
        let robbers: Vec<_> = (0..2)
            .map(|_| {
                let magazine = Arc::clone(&magazine);
                thread::spawn(move || {
                    let mut robbed = Vec::new();
                    let first = magazine.rob(|item| robbed.push(item));
                    robbed.extend(first);
                    robbed
                })
            })
            .collect();
        let mut seen: Vec<u32> = owned::take(&magazine).into_iter().collect();
        robbers.into_iter().for_each(|robber| seen.extend(robber.join().unwrap()));
        seen.extend(magazine.close());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn a_closed_magazine_takes_nothing_in() {
    model(None, || {
        let magazine = Arc::new(Magazine::new(2));
        owned::put(&magazine, 1).unwrap();
        let closer = {
            let magazine = Arc::clone(&magazine);
            thread::spawn(move || magazine.close())
        };
        let kept = owned::put(&magazine, 2).err();
        let mut seen = closer.join().unwrap();
        assert_eq!(owned::take(&magazine), None);
        assert_eq!(owned::put(&magazine, 3), Err(3));
        seen.extend(kept);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}
