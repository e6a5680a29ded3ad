//! The pipeline of a bare `stockpipe up`.

use jiff::{ToSpan, Zoned, tz::TimeZone};

use crate::data_dir::LastPipeline;

/// `examples/quickstart.yaml`, whose START is yesterday (UTC).
#[must_use]
pub fn pipeline() -> LastPipeline {
    let yesterday = Zoned::now()
        .with_time_zone(TimeZone::UTC)
        .date()
        .checked_sub(1.day())
        .expect("the clock does not show year -9999");
    let text = include_str!("../../examples/quickstart.yaml");
    // Only the field: the comment above it speaks of START, too.
    let text = text.replace("start: START", &format!("start: \"{yesterday}\""));
    LastPipeline {
        file: None,
        text,
        secrets: None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_quickstart_is_a_valid_pipeline_from_yesterday() {
        let last = super::pipeline();
        let resource = stockpipe_crds::load(&last.text, "quickstart").unwrap();
        let pipeline = stockpipe_crds::resolve(&resource).unwrap();
        assert_eq!(pipeline.market.symbols.len(), 8);
        assert!(matches!(
            pipeline.source,
            stockpipe_crds::pipeline::Source::Simulated { start: Some(_), .. }
        ));
    }
}
