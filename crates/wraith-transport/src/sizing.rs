//! How many buffers a pool needs (guide, "Pool Size Selection").

use crate::{Code, Error};

/// A row of the guide's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizingRow {
    /// The row is for rates up to this many packets a second (see `inclusive`); `None`: for all higher ones.
    pub up_to_pps: Option<u32>,
    /// Whether the rate `up_to_pps` itself belongs to this row.
    pub inclusive: bool,
    /// The fewest buffers the guide gives for these rates.
    pub least: u32,
    /// The most buffers the guide gives for these rates; `None`: open.
    pub most: Option<u32>,
}

/// The guide's table: `<1K` 64-128, `1K-10K` 256-512, `10K-100K` 1024-2048, `>100K` 4096+.
///
/// The guide leaves the rates open at which one row ends and the next begins. Here 1000 belongs to the second row
/// (the first says "less than"), 10,000 to the third (the larger pool of the two), and 100,000 to the third (the
/// last says "more than").
pub const SIZING_TABLE: [SizingRow; 4] = [
    SizingRow { up_to_pps: Some(1_000), inclusive: false, least: 64, most: Some(128) },
    SizingRow { up_to_pps: Some(10_000), inclusive: false, least: 256, most: Some(512) },
    SizingRow { up_to_pps: Some(100_000), inclusive: true, least: 1024, most: Some(2048) },
    SizingRow { up_to_pps: None, inclusive: true, least: 4096, most: None },
];

/// The row of the guide's table for a rate.
pub fn sizing_row(packets_per_second: f64) -> SizingRow {
    let fits = |row: &&SizingRow| match row.up_to_pps.map(f64::from) {
        Some(limit) if row.inclusive => packets_per_second <= limit,
        Some(limit) => packets_per_second < limit,
        None => true,
    };
    *SIZING_TABLE.iter().find(fits).unwrap_or(&SIZING_TABLE[3])
}

/// How many buffers to give a pool: the guide's formula
/// `packets_per_second × avg_processing_ms / 1000 × 2`, rounded up, but at least the least of
/// the table's row for that rate. The factor 2 is headroom for bursts.
///
/// `avg_processing_ms` is how long a packet's buffer is held, in milliseconds.
///
/// # Errors
/// [`Code::OutOfRange`]: an argument is negative, infinite or no number, or the result exceeds 2^32 - 1.
pub fn recommend_pool_size(packets_per_second: f64, avg_processing_ms: f64) -> Result<u32, Error> {
    for (name, value) in
        [("packets_per_second", packets_per_second), ("avg_processing_ms", avg_processing_ms)]
    {
        if !(value.is_finite() && value >= 0.0) {
            let what = format!("{name} is {value}; allowed are finite numbers from 0 on");
            return Err(Error::new(Code::OutOfRange, what));
        }
    }
    let buffers = packets_per_second * avg_processing_ms * 2.0 / 1000.0;
    // 100,000 × 1.1 × 2 / 1000 is 220.00000000000003 in binary: what is a rounding error must not be rounded up.
    let buffers = (buffers - buffers * 1e-12).ceil();
    if buffers > f64::from(u32::MAX) {
        let what = format!(
            "{packets_per_second} packets/s held for {avg_processing_ms} ms need {buffers} buffers; at most {} can be had",
            u32::MAX
        );
        return Err(Error::new(Code::OutOfRange, what));
    }
    Ok((buffers as u32).max(sizing_row(packets_per_second).least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_decides_when_it_gives_more_than_the_table() {
        assert_eq!(recommend_pool_size(100_000.0, 50.0).unwrap(), 10_000);
        assert_eq!(recommend_pool_size(500.0, 100.5).unwrap(), 101);
        assert_eq!(recommend_pool_size(100_000.0, 11.1).unwrap(), 2220);
        assert_eq!(recommend_pool_size(1_000_000.0, 2.0005).unwrap(), 4096);
    }

    #[test]
    fn the_table_is_the_floor() {
        for (pps, least) in [
            (0.0, 64),
            (999.9, 64),
            (1_000.0, 256),
            (9_999.0, 256),
            (10_000.0, 1024),
            (100_000.0, 1024),
            (100_000.1, 4096),
            (1e9, 4096),
        ] {
            assert_eq!(recommend_pool_size(pps, 0.0).unwrap(), least, "{pps}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_by_name() {
        for (pps, ms, name) in [
            (f64::NAN, 1.0, "packets_per_second is NaN"),
            (-1.0, 1.0, "packets_per_second is -1"),
            (1.0, f64::INFINITY, "avg_processing_ms is inf"),
            (1e12, 1e6, "at most 4294967295"),
        ] {
            let error = recommend_pool_size(pps, ms).unwrap_err();
            assert_eq!(error.code(), Code::OutOfRange);
            assert!(error.message().contains(name), "{error}");
        }
    }
}
