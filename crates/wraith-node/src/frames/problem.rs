//! Errors of rows as JavaScript objects.

use wraith_core::frames::packet::PacketError;
use wraith_core::frames::wraith::FrameError;
use wraith_transport::Error;

use crate::raw::{self, Env, Value};

/// `{ status, field, offset, needed, present, message }`.
pub(super) fn of_frame(env: Env, error: &FrameError) -> Result<Value, Error> {
    let object = raw::object(env)?;
    let text = |text: &str| raw::string(env, text);
    raw::set(env, object, c"status", text(error.status.as_str())?)?;
    raw::set(env, object, c"field", text(error.field.as_str())?)?;
    let numbers = [
        (c"offset", error.offset as f64),
        (c"needed", error.needed as f64),
        (c"present", error.present as f64),
    ];
    raw::set_numbers(env, object, &numbers)?;
    raw::set(env, object, c"message", text(&error.to_string())?)?;
    Ok(object)
}

/// `{ status, layer, field, offset, needed, present, claimedBy, limitedBy, message }`.
pub(super) fn of_packet(env: Env, error: &PacketError) -> Result<Value, Error> {
    let object = raw::object(env)?;
    let text = |text: &str| raw::string(env, text);
    raw::set(env, object, c"status", text(error.status.as_str())?)?;
    raw::set(env, object, c"layer", text(error.layer.as_str())?)?;
    raw::set(env, object, c"field", text(error.field)?)?;
    let numbers = [
        (c"offset", error.offset as f64),
        (c"needed", error.needed as f64),
        (c"present", error.present as f64),
    ];
    raw::set_numbers(env, object, &numbers)?;
    raw::set(env, object, c"claimedBy", text(error.claimed_by.as_str())?)?;
    raw::set(env, object, c"limitedBy", text(error.limited_by.as_str())?)?;
    raw::set(env, object, c"message", text(&error.to_string())?)?;
    Ok(object)
}
