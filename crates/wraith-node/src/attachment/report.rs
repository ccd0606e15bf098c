//! What an attachment says about everybody: audit, holders, figures.

use wraith_transport::Error;
use wraith_transport::memory::State;

use super::Binding;
use crate::pool;
use crate::raw::{self, Env, Reply, Value};
use crate::shared::{CACHED, COUNTS, NAMES};

impl Binding {
    /// The owner table, and how much of it this attachment has cached or lent.
    pub(super) fn audit(&self, env: Env) -> Result<Reply, Error> {
        let core = self.core();
        let object = pool::audit(env, core)?;
        let holding = |slot| core.holding(slot).map(|word| (word.state, word.owner));
        let own = (0..core.capacity()).filter(|&slot| holding(slot) == Some(self.mine())).count();
        raw::set(env, object, c"own", raw::number(env, own as f64)?)?;
        Ok(Reply::Value(object))
    }

    /// The state of every slot by name; what other isolates have cached or lent is elsewhere.
    pub(super) fn holders(&self, env: Env) -> Result<Reply, Error> {
        let names = (0..self.core().capacity()).filter_map(|slot| self.core().holding(slot)).map(|word| {
            let other = word.state == State::Cached && word.owner != self.owner();
            if other { "elsewhere".to_owned() } else { word.state.name().to_owned() }
        });
        raw::strings(env, &names.collect::<Vec<_>>()).map(Reply::Value)
    }

    /// Everybody's counters: `{ isolates, ended, tickets }`.
    pub(super) fn figures(&self, env: Env) -> Result<Reply, Error> {
        let snapshot = self.core().snapshot();
        let holdings = self.core().holdings();
        let (living, ended) = self.pool.figures();
        let mut isolates = Vec::with_capacity(living.len());
        for (record, counts) in living {
            let held = holdings.iter().find(|it| it.owner == record.owner);
            let held = f64::from(held.map_or(0, |held| held.in_state(State::Cached)));
            let entry = figures_object(env, &counts)?;
            let numbers = [
                (c"id", f64::from(record.owner.get())),
                (c"threadId", record.thread.into()),
                (c"lent", (held - counts[CACHED]).max(0.0)),
            ];
            raw::set_numbers(env, entry, &numbers)?;
            isolates.push(entry);
        }
        let object = raw::object(env)?;
        raw::set(env, object, c"isolates", raw::array(env, isolates.into_iter().map(Ok))?)?;
        raw::set(env, object, c"ended", figures_object(env, &ended)?)?;
        let numbers = [
            (c"transferred", snapshot.transferred),
            (c"adopted", snapshot.adopted),
            (c"cancelled", snapshot.cancelled),
            (c"expired", snapshot.expired),
            (c"reclaimed", snapshot.reclaimed),
            (c"rustAcquires", snapshot.total_acquires),
        ];
        raw::set_numbers(env, object, &numbers)?;
        Ok(Reply::Value(object))
    }
}

fn figures_object(env: Env, counts: &[f64; COUNTS]) -> Result<Value, Error> {
    let object = raw::object(env)?;
    for (name, &count) in NAMES.into_iter().zip(counts) {
        raw::set(env, object, name, raw::number(env, count)?)?;
    }
    Ok(object)
}
