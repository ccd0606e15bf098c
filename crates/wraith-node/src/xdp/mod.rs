//! AF_XDP for JavaScript.

mod binding;
mod columns;
mod epoll;
pub(crate) mod filter;
mod memory;
mod methods;
pub(crate) mod open;
pub(crate) mod probe;
mod queues;
mod send;
pub(crate) mod test_filter;
mod values;
