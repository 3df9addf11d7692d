//! Which layers an image has, by an OCI image layout: `index.json` leads to manifests, a manifest to layers, each by the digest of
//! what it leads to. See the OCI image specification, image-layout.md and manifest.md.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::{Error, Problem};
use super::spool::{self, Spooled};

/// The file by which a layout is known.
pub const LAYOUT: &str = "oci-layout";
/// The annotation that gives a manifest of the index its name.
const NAME: &str = "org.opencontainers.image.ref.name";
/// Longest JSON that is read.
const MOST_BYTES: u64 = 4 << 20;
/// Most layers.
const MOST_LAYERS: usize = 500;
/// Most manifests looked at, and how deep an index may be in another.
const MOST_MANIFESTS: usize = 1000;
const DEEPEST: usize = 4;

/// Which of a layout's images is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// Its name in the index.
    pub image: Option<&'a str>,
    /// Its architecture, as Go names it; this machine's if absent.
    pub architecture: Option<&'a str>,
}

/// An image.
pub(super) struct Image {
    pub(super) layers: Vec<Blob>,
    /// Of its manifest.
    pub(super) digest: [u8; 32],
}

/// Something of a layout, by what it has to be.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// `sha256:` and 64 digits.
    name: String,
    digest: [u8; 32],
    size: u64,
}

/// A manifest that may be meant.
struct Candidate {
    blob: Blob,
    name: Option<String>,
    architecture: Option<String>,
}

fn layout(what: impl Into<String>) -> Error {
    Error::of_all(Problem::Layout(what.into()))
}

impl Blob {
    /// What a descriptor speaks of.
    fn of(descriptor: &Value) -> Result<Self, Error> {
        let name = descriptor["digest"].as_str().unwrap_or_default();
        let digits = name.strip_prefix("sha256:").filter(|digits| digits.len() == 64);
        let mut digest = [0; 32];
        let read =
            digits.filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let Some(digits) = read else {
            let shown: String = name.chars().take(100).collect();
            return Err(layout(format!("`{}` is no digest by sha256", shown.escape_debug())));
        };
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| layout("no digest"))?;
        }
        let size = descriptor["size"].as_u64().ok_or_else(|| layout(format!("`{name}` has no size")))?;
        Ok(Self { name: name.to_owned(), digest, size })
    }

    fn path(&self) -> PathBuf {
        Path::new("blobs/sha256").join(&self.name["sha256:".len()..])
    }

    fn wrong(&self, problem: Problem) -> Error {
        Error::of(self.name.as_bytes(), problem)
    }

    /// Compares what was read with what it has to be.
    fn check(&self, digest: [u8; 32], size: u64) -> Result<(), Error> {
        if (digest, size) == (self.digest, self.size) {
            return Ok(());
        }
        Err(self.wrong(Problem::Layout("its content is not what its digest says".into())))
    }

    fn open(&self, open: &dyn Fn(&Path) -> io::Result<File>) -> Result<File, Error> {
        open(&self.path()).map_err(|error| self.wrong(Problem::Call(error)))
    }

    /// The layer, unpacked.
    pub(super) fn spool(&self, open: &dyn Fn(&Path) -> io::Result<File>) -> Result<Spooled, Error> {
        let spooled = spool::layer(self.open(open)?);
        let spooled = spooled
            .map_err(|error| Error { of: error.of.or_else(|| Some(self.name.clone().into())), ..error })?;
        self.check(spooled.digest, spooled.read)?;
        Ok(spooled)
    }

    fn json(&self, open: &dyn Fn(&Path) -> io::Result<File>) -> Result<Value, Error> {
        let text = read(self.open(open)?).map_err(|error| self.wrong(Problem::Call(error)))?;
        self.check(Sha256::digest(&text).into(), text.len() as u64)?;
        serde_json::from_slice(&text).map_err(|error| self.wrong(Problem::Layout(error.to_string())))
    }
}

/// The layers of the image that is meant.
pub(super) fn image(open: &dyn Fn(&Path) -> io::Result<File>, choice: &Choice<'_>) -> Result<Image, Error> {
    let index = open(Path::new("index.json")).and_then(read);
    let index = index.map_err(|error| Error::of(b"index.json", Problem::Call(error)))?;
    let index: Value = serde_json::from_slice(&index)
        .map_err(|error| Error::of(b"index.json", Problem::Layout(error.to_string())))?;
    let mut found = Vec::new();
    candidates(open, &index, None, 0, &mut found)?;
    let chosen = choose(open, found, choice)?;
    let manifest = chosen.json(open)?;
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if layers.is_empty() || layers.len() > MOST_LAYERS {
        return Err(chosen.wrong(Problem::Layout(format!("it has {} layers", layers.len()))));
    }
    for layer in layers {
        let media = layer["mediaType"].as_str().unwrap_or_default();
        if !media.contains("tar") {
            let shown: String = media.chars().take(100).collect();
            return Err(chosen.wrong(Problem::Layout(format!(
                "a layer is of the type `{}`, no archive",
                shown.escape_debug()
            ))));
        }
    }
    Ok(Image { layers: layers.iter().map(Blob::of).collect::<Result<_, _>>()?, digest: chosen.digest })
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if file.take(MOST_BYTES + 1).read_to_end(&mut text)? as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("larger than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

/// Every manifest that an index leads to. One below another has its name, if it has none itself.
fn candidates(
    open: &dyn Fn(&Path) -> io::Result<File>,
    index: &Value,
    name: Option<&str>,
    depth: usize,
    found: &mut Vec<Candidate>,
) -> Result<(), Error> {
    for descriptor in index["manifests"].as_array().into_iter().flatten() {
        let media = descriptor["mediaType"].as_str().unwrap_or_default();
        let name = descriptor["annotations"][NAME].as_str().or(name);
        let architecture = descriptor["platform"]["architecture"].as_str();
        if found.len() >= MOST_MANIFESTS || depth > DEEPEST {
            return Err(Error::of_all(Problem::TooMany("manifests")));
        }
        if media.contains("image.index") || media.contains("manifest.list") {
            candidates(open, &Blob::of(descriptor)?.json(open)?, name, depth + 1, found)?;
        } else if architecture != Some("unknown") {
            let architecture = architecture.map(str::to_owned);
            found.push(Candidate {
                blob: Blob::of(descriptor)?,
                name: name.map(str::to_owned),
                architecture,
            });
        }
    }
    Ok(())
}

/// The one that is meant: of its name, and of the architecture asked for, or else of this machine's, or else of one that this machine
/// runs too.
fn choose(
    open: &dyn Fn(&Path) -> io::Result<File>,
    found: Vec<Candidate>,
    choice: &Choice<'_>,
) -> Result<Blob, Error> {
    let mut known = Vec::new();
    for mut candidate in found {
        if choice.image.is_some_and(|image| candidate.name.as_deref() != Some(image)) {
            known.push((candidate, false));
            continue;
        }
        if candidate.architecture.is_none() {
            let config = Blob::of(&candidate.blob.json(open)?["config"])?.json(open)?;
            candidate.architecture = config["architecture"].as_str().map(str::to_owned);
        }
        known.push((candidate, true));
    }
    let native = match std::env::consts::ARCH {
        "x86_64" => ["amd64", "386"],
        "x86" => ["386", "386"],
        "aarch64" => ["arm64", "arm64"],
        other => [other, other],
    };
    let asked = choice.architecture.map(|asked| [asked]);
    let wanted = asked.as_ref().map_or(&native[..], |asked| &asked[..]);
    for architecture in wanted {
        let is_meant = |(candidate, named): &&(Candidate, bool)| {
            *named && candidate.architecture.as_deref() == Some(architecture)
        };
        let mut meant = known.iter().filter(is_meant);
        match (meant.next(), meant.next()) {
            (Some((one, _)), None) => return Ok(one.blob.clone()),
            (Some(_), Some(_)) => {
                return Err(layout(format!("several images are meant; there are {}", listed(&known))));
            }
            (None, _) => {}
        }
    }
    Err(layout(match known.len() {
        0 => "its index has no image".to_owned(),
        _ => format!("no image is meant; there are {}", listed(&known)),
    }))
}

/// The images there are, for who has to choose.
fn listed(known: &[(Candidate, bool)]) -> String {
    let shown = known.iter().take(10).map(|(candidate, _)| {
        let text =
            |text: &Option<String>, none: &str| text.as_deref().unwrap_or(none).escape_debug().to_string();
        format!("`{}` for {}", text(&candidate.name, "(no name)"), text(&candidate.architecture, "unknown"))
    });
    shown.collect::<Vec<_>>().join(", ")
}
