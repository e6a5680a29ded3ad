//! Which image the workers run: pinned, so that a new operator restarts none of
//! them.

use stockpipe_crds::status::WorkersStatus;

use crate::settings::split_tag;

/// The image, where `pinned` is what the status says, `version` is
/// `spec.version` and `default` the operator's own image of the workers.
///
/// It changes only with `version` or `default`.
#[must_use]
pub fn pin(pinned: Option<&WorkersStatus>, version: Option<&str>, default: &str) -> WorkersStatus {
    if let Some(pinned) = pinned
        && pinned.version.as_deref() == version
        && pinned.default_image == default
    {
        return pinned.clone();
    }
    let image = match (version, split_tag(default)) {
        (Some(version), Some((repository, _))) => format!("{repository}:{version}"),
        _ => default.to_owned(),
    };
    WorkersStatus {
        image,
        version: version.map(str::to_owned),
        default_image: default.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_replaces_the_tag_and_only_a_change_of_either_changes_the_image() {
        let image =
            |pinned: Option<&WorkersStatus>, version, default| pin(pinned, version, default).image;
        assert_eq!(
            image(None, None, "r:5000/stockpipe:1.0.0"),
            "r:5000/stockpipe:1.0.0"
        );
        assert_eq!(
            image(None, Some("1.1.0"), "r:5000/stockpipe:1.0.0"),
            "r:5000/stockpipe:1.1.0"
        );
        let pinned = WorkersStatus {
            image: "stockpipe:0.9.0".into(),
            version: None,
            default_image: "stockpipe:1.0.0".into(),
        };
        for (version, default, image_) in [
            (None, "stockpipe:1.0.0", "stockpipe:0.9.0"),
            (None, "stockpipe:1.0.1", "stockpipe:1.0.1"),
            (Some("1.2.0"), "stockpipe:1.0.0", "stockpipe:1.2.0"),
        ] {
            assert_eq!(image(Some(&pinned), version, default), image_);
        }
    }
}
