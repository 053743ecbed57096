//! Folders as buckets: `PATH/<bucket>/<key>`, for trying it without AWS.
//!
//! The metadata of S3 lies in sidecars, `PATH/.pixpipe/<bucket>/<key>/.json`, with the `ETag` of the file that each
//! belongs to: a sidecar of another file is ignored. Files appear by renaming, under a lock of the bucket, so no
//! partial file is ever visible, and of two writers one sees the other.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Condition, Document, Download, Fetched, Origin, Output, OutputHead, Store, StoreError, Written};
use crate::object::{BucketName, ObjectKey};
use crate::one_line::one_line;

/// Holds sidecars, locks and files that are not complete yet.
const OWN_FOLDER: &str = ".pixpipe";
/// A sidecar's name. It lies in a folder that is named as its object: since that is a file, no other object's name can
/// go on from there.
const SIDECAR: &str = ".json";
/// The limit of the common Linux file systems on a name, less room for the endings that are put behind it.
const MAX_NAME_BYTES: usize = 240;

/// Folders under one path.
#[derive(Debug)]
pub(crate) struct DirStore {
    root: PathBuf,
}

/// A file that was opened and not read yet.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    etag: String,
    length_bytes: u64,
    is_output: bool,
}

/// The metadata of an output.
#[derive(Debug, Serialize, Deserialize)]
struct Sidecar {
    etag: String,
    content_type: String,
    source_etag: String,
    source_version_id: Option<String>,
    spec: String,
    source: String,
}

impl DirStore {
    /// The folders under `root`.
    #[must_use]
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn object_path(&self, bucket: &BucketName, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        below(&self.root, bucket, key)
    }

    fn sidecar_path(&self, bucket: &BucketName, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        Ok(below(&self.root.join(OWN_FOLDER), bucket, key)?.join(SIDECAR))
    }

    fn read_head(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<OutputHead>, StoreError> {
        let path = self.object_path(bucket, key)?;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refusal(&path, &error)),
        };
        let etag = etag(&metadata);
        Ok(Some(match self.sidecar(bucket, key, &etag)? {
            Some(Sidecar { source_etag, spec, source, .. }) => {
                OutputHead { etag, source_etag: Some(source_etag), spec: Some(spec), source: Some(source) }
            }
            None => OutputHead { etag, source_etag: None, spec: None, source: None },
        }))
    }

    /// The metadata of the file with this `ETag`; `None` if there are none, or they cannot be read: the output is then
    /// made again.
    fn sidecar(&self, bucket: &BucketName, key: &ObjectKey, etag: &str) -> Result<Option<Sidecar>, StoreError> {
        let json = fs::read(self.sidecar_path(bucket, key)?).ok();
        let sidecar = json.and_then(|json| serde_json::from_slice::<Sidecar>(&json).ok());
        Ok(sidecar.filter(|sidecar| sidecar.etag == etag))
    }

    /// Writes to a file beside the others, then renames it into place if the condition still holds.
    fn write(&self, output: &Output, condition: &Condition) -> Result<Written, StoreError> {
        let path = self.object_path(&output.bucket, &output.key)?;
        let sidecar_path = self.sidecar_path(&output.bucket, &output.key)?;
        let own = self.root.join(OWN_FOLDER);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| refusal(&path, &error)
        };
        for folder in [path.parent(), sidecar_path.parent()].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        let lock_path = own.join(format!("{}.lock", output.bucket));
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.lock().map_err(at(&lock_path))?;
        let current = self.read_head(&output.bucket, &output.key)?.map(|head| head.etag);
        let holds = match condition {
            Condition::Absent => current.is_none(),
            Condition::Unchanged(etag) => current.as_ref() == Some(etag),
        };
        if !holds {
            return Ok(Written::Raced);
        }
        // One name is enough: the holder of the lock is alone, and the file that a killed process left is overwritten.
        let pending = own.join(format!("{}.pending", output.bucket));
        write_file(&pending, &output.bytes).map_err(at(&pending))?;
        let etag = etag(&fs::metadata(&pending).map_err(at(&pending))?);
        fs::rename(&pending, &path).map_err(at(&path))?;
        let Origin { source_etag, source_version_id, spec, source } = output.origin.clone();
        let content_type = output.content_type.to_owned();
        let sidecar = Sidecar { etag, content_type, source_etag, source_version_id, spec, source };
        let json = serde_json::to_vec(&sidecar).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        write_file(&pending, &json).map_err(at(&pending))?;
        fs::rename(&pending, &sidecar_path).map_err(at(&sidecar_path))?;
        Ok(Written::Done(sidecar.etag))
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A file of its own each time: an output that is linked elsewhere must not change there.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(path)?;
    file.write_all(bytes)
}

/// A text that changes if a file is replaced or written to.
fn etag(metadata: &Metadata) -> String {
    let Ok(changed) = metadata.modified().map(|time| time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
    else {
        return format!("{:x}-{:x}", metadata.ino(), metadata.len());
    };
    format!("{:x}-{:x}-{:x}", metadata.ino(), metadata.len(), changed.as_nanos())
}

/// The path of a key below a folder, if a file system can hold it there.
fn below(root: &Path, bucket: &BucketName, key: &ObjectKey) -> Result<PathBuf, StoreError> {
    let refuse = |why: &str| StoreError::InvalidKey(format!("the key \"{}\" {why}", one_line(key.as_str())));
    if bucket.as_str().starts_with('.') || bucket.as_str().contains('/') {
        return Err(StoreError::InvalidKey(format!("the bucket \"{bucket}\" cannot be used as a folder name")));
    }
    let mut path = root.join(bucket.as_str());
    for name in key.as_str().split('/') {
        match name {
            "" => return Err(refuse("is not a valid file path: it begins or ends with a slash, or has two in a row")),
            "." | ".." => return Err(refuse("would leave its folder")),
            name if name.contains('\0') => return Err(refuse("has a NUL")),
            name if name.len() > MAX_NAME_BYTES => {
                return Err(refuse(&format!(
                    "has a name of {} bytes, the limit of a file name is {MAX_NAME_BYTES}",
                    name.len()
                )));
            }
            name => path.push(name),
        }
    }
    Ok(path)
}

fn refusal(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound(text),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::AccessDenied(text),
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => StoreError::InvalidKey(text),
        _ => StoreError::Unavailable(text),
    }
}

impl Download for OpenFile {
    fn etag(&self) -> &str {
        &self.etag
    }

    fn version_id(&self) -> Option<&str> {
        None
    }

    fn length_bytes(&self) -> Option<u64> {
        Some(self.length_bytes)
    }

    fn is_output(&self) -> bool {
        self.is_output
    }

    async fn bytes(self, _limit_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let broken = |error: io::Error| StoreError::BrokenDownload(error.to_string());
        // One byte more: reading sees the end of the file without growing.
        let mut bytes = Vec::with_capacity(usize::try_from(self.length_bytes).map_or(0, |length| length + 1));
        (&self.file).take(self.length_bytes).read_to_end(&mut bytes).map_err(broken)?;
        let after = etag(&self.file.metadata().map_err(broken)?);
        if after != self.etag || u64::try_from(bytes.len()) != Ok(self.length_bytes) {
            return Err(StoreError::BrokenDownload("the file changed while it was read".to_owned()));
        }
        Ok(bytes)
    }
}

impl Store for DirStore {
    type Download = OpenFile;

    async fn head(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<OutputHead>, StoreError> {
        self.read_head(bucket, key)
    }

    async fn get(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        unless: Option<&str>,
    ) -> Result<Fetched<OpenFile>, StoreError> {
        let path = self.object_path(bucket, key)?;
        let refuse = |error: io::Error| refusal(&path, &error);
        // Before it is opened: opening a pipe waits for its writer.
        if !fs::metadata(&path).map_err(refuse)?.is_file() {
            return Err(StoreError::InvalidKey(format!("{} is not a file", path.display())));
        }
        let file = File::open(&path).map_err(refuse)?;
        let metadata = file.metadata().map_err(refuse)?;
        let etag = etag(&metadata);
        if unless == Some(etag.as_str()) {
            return Ok(Fetched::NotModified);
        }
        let is_output = self.sidecar(bucket, key, &etag)?.is_some();
        Ok(Fetched::new(key, OpenFile { file, etag, length_bytes: metadata.len(), is_output }))
    }

    async fn put(&self, output: Output, condition: &Condition) -> Result<Written, StoreError> {
        self.write(&output, condition)
    }

    async fn put_document(&self, document: Document) -> Result<(), StoreError> {
        let path = self.object_path(&document.bucket, &document.key)?;
        let refuse = |error: io::Error| refusal(&path, &error);
        for folder in [path.parent(), Some(self.root.join(OWN_FOLDER).as_path())].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(refuse)?;
        }
        let lock =
            File::create(self.root.join(OWN_FOLDER).join(format!("{}.lock", document.bucket))).map_err(refuse)?;
        lock.lock().map_err(refuse)?;
        let pending = self.root.join(OWN_FOLDER).join(format!("{}.pending", document.bucket));
        write_file(&pending, &document.lines).and_then(|()| fs::rename(&pending, &path)).map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bucket: &str, key: &str) -> (BucketName, ObjectKey) {
        (BucketName::parse(bucket).expect("a name"), ObjectKey::parse(key).expect("a key"))
    }

    #[test]
    fn keys_stay_in_their_folder() {
        for key in ["../x", "a/../x", "..", "/etc/passwd", "a//b", "a/", "a\0b", "./x", &"x".repeat(241)] {
            let (bucket, key) = names("b", key);
            let path = below(Path::new("/root"), &bucket, &key);
            assert!(matches!(path, Err(StoreError::InvalidKey(_))), "{key:?}: {path:?}");
        }
        for (key, expected) in [("a/b.jpg", "/root/b/a/b.jpg"), ("...", "/root/b/..."), ("a b+%", "/root/b/a b+%")] {
            let (bucket, key) = names("b", key);
            assert_eq!(below(Path::new("/root"), &bucket, &key), Ok(PathBuf::from(expected)));
        }
        let (bucket, key) = names(OWN_FOLDER, "x");
        assert!(below(Path::new("/root"), &bucket, &key).is_err());
    }

    #[test]
    fn a_condition_lets_one_of_two_writers_through() {
        let root = tempfile::tempdir().expect("a folder");
        let store = DirStore::new(root.path().to_owned());
        let (bucket, key) = names("out", "a/b.jpg");
        let output = |byte: u8| Output {
            bucket: bucket.clone(),
            key: key.clone(),
            bytes: vec![byte],
            content_type: "image/jpeg",
            origin: Origin {
                source_etag: format!("e{byte}"),
                source_version_id: None,
                spec: "s".into(),
                source: "n".into(),
            },
        };
        assert_eq!(store.read_head(&bucket, &key), Ok(None));
        assert!(matches!(store.write(&output(1), &Condition::Absent), Ok(Written::Done(_))));
        assert_eq!(store.write(&output(2), &Condition::Absent), Ok(Written::Raced));
        let head = store.read_head(&bucket, &key).expect("readable").expect("there");
        let OutputHead { source_etag, spec, source, .. } = &head;
        assert_eq!([source_etag, spec, source].map(Option::as_deref), [Some("e1"), Some("s"), Some("n")]);
        let unchanged = Condition::Unchanged(head.etag.clone());
        assert!(matches!(store.write(&output(3), &unchanged), Ok(Written::Done(_))));
        assert_eq!(store.write(&output(4), &unchanged), Ok(Written::Raced));
        assert_eq!(fs::read(root.path().join("out/a/b.jpg")).expect("there"), [3]);
        fs::write(root.path().join("out/a/b.jpg"), [9, 9]).expect("writable");
        let head = store.read_head(&bucket, &key).expect("readable").expect("there");
        assert_eq!((head.source_etag, head.spec), (None, None), "a sidecar of another file is ignored");
    }
}
