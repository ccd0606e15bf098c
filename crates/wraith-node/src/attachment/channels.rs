//! What the handles of channels need of the attachment whose slots they carry.

use std::rc::Rc;

use wraith_transport::{Code, Error};

use super::Binding;
use crate::channel::Endpoint;
use crate::views::Left;

impl Binding {
    /// A channel's handle that ends with this.
    pub(crate) fn add_endpoint(&self, endpoint: &Rc<Endpoint>) {
        let mut all = self.endpoints.borrow_mut();
        all.retain(|it| it.strong_count() > 0);
        all.push(Rc::downgrade(endpoint));
    }

    /// As [`Binding::hide`], of a slot that JavaScript says is this attachment's; one whose memory was moved is out of use then.
    pub(crate) fn leave_if_mine(&self, slot: u32) -> Result<Left, Error> {
        if self.core().holding(slot).map(|word| (word.state, word.owner)) != Some(self.mine()) {
            return Err(Error::new(Code::StaleBuffer, "the slot is not this isolate's"));
        }
        self.leave(slot)
    }
}
