//! Are the columns right? Asked before anything is timed.

use wraith_core::frames::{Backend, Batch, FrameColumns, naive};

/// Holds each backend against the naive parser over all batches; panics where one differs.
pub(crate) fn check_frames(batches: &[Batch<'_>], good_at_least: usize) {
    for batch in batches {
        let mut expected = FrameColumns::with_capacity(batch.len());
        let good = naive::frames(batch, &mut expected.as_mut()).expect("columns that are long enough");
        assert!(good >= good_at_least, "{good} of {} frames are good", batch.len());
        for backend in Backend::available() {
            let mut columns = FrameColumns::with_capacity(batch.len());
            assert_eq!(batch.frames(backend, &mut columns.as_mut()), Ok(good), "{}", backend.backend());
            assert!(columns == expected, "{} gives other columns", backend.backend());
        }
    }
}
