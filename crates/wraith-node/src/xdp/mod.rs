//! AF_XDP for JavaScript.

pub(crate) mod filter;
pub(crate) mod probe;
pub(crate) mod test_filter;
