//! Errors on a record's way → the stable reason and an explanation.

use std::fmt::Display;

use pixpipe_pixels::render::RenderError;

use crate::budget::NeverFits;
use crate::object::NameError;
use crate::pool::JobError;
use crate::reason::FailReason;
use crate::store::StoreError;

/// Why a record failed: the stable reason, and an explanation for people.
#[derive(Debug)]
pub(super) struct RecordError {
    pub(super) reason: FailReason,
    pub(super) detail: String,
}

impl RecordError {
    pub(super) fn new(reason: FailReason, detail: impl Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }

    /// A file for which there will never be room.
    pub(super) fn too_many_bytes(error: NeverFits) -> Self {
        Self::new(FailReason::TooManyBytes, error)
    }

    /// Pixels for which there will never be room.
    pub(super) fn too_many_pixels(error: NeverFits) -> Self {
        Self::new(FailReason::TooManyPixels, error)
    }
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        let reason = match &error {
            StoreError::NotFound(_) => FailReason::NotFound,
            StoreError::AccessDenied(_) => FailReason::AccessDenied,
            StoreError::InvalidKey(_) => FailReason::InvalidEntry,
            StoreError::Unavailable(_) | StoreError::BrokenDownload(_) => FailReason::StoreUnavailable,
            StoreError::TooLarge { .. } => FailReason::TooManyBytes,
        };
        Self::new(reason, error)
    }
}

impl From<NameError> for RecordError {
    fn from(error: NameError) -> Self {
        Self::new(FailReason::InvalidEntry, format!("the output's key: {error}"))
    }
}

impl From<RenderError> for RecordError {
    fn from(error: RenderError) -> Self {
        Self::new(FailReason::from(&error), error)
    }
}

impl From<JobError> for RecordError {
    fn from(error: JobError) -> Self {
        let reason = match error {
            JobError::Panicked(_) | JobError::NoState(_) => FailReason::Internal,
            JobError::GivenUp(_) => FailReason::Corrupt,
            // A task on another machine may have threads.
            JobError::NoThread => FailReason::Interrupted,
        };
        Self::new(reason, error)
    }
}
