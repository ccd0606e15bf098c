//! A filter's program, to be tried on frames.
#![expect(unsafe_code, reason = "copies bytes that JavaScript lends for the call")]

use std::rc::Rc;

use wraith_transport::Error;
use wraith_transport::xdp::{FilterTest, Verdict};

use super::filter::{XdpFilterOptions, filter_of};
use crate::raw::{self, Env, Reply, Value};

/// As much as a test looks at.
const LOOKED_AT: usize = 2048;

/// Loads the filter's program: an object with `takes(frame)`.
pub(crate) fn create(env: Env, options: &XdpFilterOptions) -> Result<Value, Error> {
    let test = Rc::new(FilterTest::new(&filter_of(options)?)?);
    let object = raw::object(env)?;
    raw::method(env, object, c"takes", &test, |_, test, args| {
        let bytes = args.bytes(0)?;
        let mut frame = Vec::with_capacity(LOOKED_AT);
        let length = bytes.len.min(LOOKED_AT);
        if length > 0 {
            // SAFETY: JavaScript lends `bytes.len` bytes for the call; the vector has room for LOOKED_AT. Copied and not
            // borrowed: they may lie in memory that the kernel writes.
            unsafe {
                bytes.data.copy_to_nonoverlapping(frame.as_mut_ptr(), length);
                frame.set_len(length);
            }
        }
        Ok(Reply::Bool(test.verdict(&frame)? == Verdict::Socket))
    })?;
    Ok(object)
}
