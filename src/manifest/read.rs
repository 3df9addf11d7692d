//! Single values: a node of the tree → a type of the plan or the schema, or what is wrong with it.

use std::ffi::OsString;

use super::node::{Node, Value};
use super::schema::{DeviceName, Resource, ResourceLimit, Unit};
use super::suggest;
use crate::plan::capability;
use crate::plan::control::{Control, ControlLimit};
use crate::plan::step::{Bound, DEVICES, Keep};
use crate::plan::system_calls::{ALWAYS, Entry, Word};
use crate::plan::value::{Account, HostPath, JailName, JailPath, Mode, Size, Span};

/// Why a value cannot be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// It is a number where text is expected, or the like; [`super::keys`] knows what is expected.
    Kind,
    /// It is of the right kind, but no legal value.
    Value {
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

/// What every reader returns.
pub(super) type Read<T> = Result<T, Problem>;

impl From<String> for Problem {
    /// The parsers of [`crate::plan::value`] say in one sentence what is wrong and what is right.
    fn from(message: String) -> Self {
        match message.split_once("; write ") {
            Some((message, right)) => {
                Self::Value { message: message.to_owned(), hint: Some(format!("write {right}")) }
            }
            None => Self::Value { message, hint: None },
        }
    }
}

/// A wrong value with advice.
fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Read<T> {
    Err(Problem::Value { message: message.into(), hint: Some(hint.into()) })
}

/// Text as written.
fn str(node: &Node) -> Read<&str> {
    match (&node.value, &node.typed) {
        (Value::Text(text), _) => Ok(text),
        (Value::Integer { .. } | Value::Float | Value::Flag(_) | Value::Date, Some(typed)) => Ok(typed),
        _ => Err(Problem::Kind),
    }
}

/// Any text.
pub(super) fn text(node: &Node) -> Read<String> {
    str(node).map(str::to_owned)
}

/// Text that becomes a C string for a system call or another program.
pub(super) fn word(node: &Node) -> Read<String> {
    let text = str(node)?;
    if text.contains('\0') {
        return wrong("a NUL byte cannot be passed to a program", "leave `\\u0000` out");
    }
    Ok(text.to_owned())
}

/// The same, as the system calls take it.
pub(super) fn os_word(node: &Node) -> Read<OsString> {
    word(node).map(OsString::from)
}

/// Text that is not empty.
pub(super) fn non_empty(node: &Node) -> Read<String> {
    let text = word(node)?;
    if text.is_empty() {
        return wrong("this is empty", "write something between the quotes, or leave it out");
    }
    Ok(text)
}

/// `true` or `false`.
pub(super) fn flag(node: &Node) -> Read<bool> {
    match node.value {
        Value::Flag(flag) => Ok(flag),
        _ => Err(Problem::Kind),
    }
}

/// A whole number within bounds.
pub(super) fn number<T>(least: T, most: T) -> impl Fn(&Node) -> Read<T>
where
    T: TryFrom<i64> + Into<i64> + Copy,
{
    move |node| match node.value {
        Value::Integer { value, .. } => match T::try_from(value) {
            Ok(number) if (least.into()..=most.into()).contains(&value) => Ok(number),
            _ => wrong(
                format!("{value} is out of range"),
                format!("write a number from {} to {}", least.into(), most.into()),
            ),
        },
        _ => Err(Problem::Kind),
    }
}

/// A port, or what else can be written with a single one: its number alone is a number too.
pub(super) fn port<T>(parse: fn(&str) -> Result<T, String>) -> impl Fn(&Node) -> Read<T> {
    move |node| match node.value {
        Value::Integer { value, .. } => Ok(parse(&value.to_string())?),
        _ => Ok(parse(str(node)?)?),
    }
}

/// How many of something: a number that is not negative.
pub(super) fn amount(node: &Node) -> Read<u64> {
    match node.value {
        Value::Integer { value, .. } => {
            u64::try_from(value).map_err(|_| format!("{value} is negative; write 0 or more").into())
        }
        _ => Err(Problem::Kind),
    }
}

/// A size: text with a unit, or bytes.
pub(super) fn size(node: &Node) -> Read<Size> {
    match &node.value {
        Value::Integer { .. } => amount(node).map(Size),
        _ => Ok(Size::parse(str(node)?)?),
    }
}

/// How much in a second: bytes or calls, by its key, and something.
pub(super) fn rate(key: &str) -> impl Fn(&Node) -> Read<u64> {
    let is_size = key.ends_with("bandwidth");
    move |node| match if is_size { size(node)?.0 } else { amount(node)? } {
        0 => wrong("nothing a second lets nothing through", "write 1 or more, or leave it out"),
        rate => Ok(rate),
    }
}

/// A limit of a control group: text with its unit, or a number in the unit that is the control's own.
pub(super) fn control(control: Control) -> impl Fn(&Node) -> Read<ControlLimit> {
    move |node| {
        let amount = match &node.value {
            Value::Integer { value, .. } => {
                amount(node)?;
                control.parse(&value.to_string())?
            }
            _ => control.parse(str(node)?)?,
        };
        Ok(ControlLimit { control, amount })
    }
}

/// A time: text with a unit, or seconds.
pub(super) fn time(node: &Node) -> Read<Span> {
    match &node.value {
        Value::Integer { .. } => amount(node).map(|seconds| Span(std::time::Duration::from_secs(seconds))),
        _ => Ok(Span::parse(str(node)?)?),
    }
}

/// A mode: octal digits in quotes. A decimal number is refused, since 750 and 0750 are not the same; `0o750` says what it is.
pub(super) fn mode(node: &Node) -> Read<Mode> {
    match (&node.value, &node.typed) {
        (Value::Integer { value, octal: true }, _) => Ok(Mode::parse(&format!("{value:o}"))?),
        (Value::Integer { value, .. }, None) => {
            let digits = value.to_string();
            let hint = match Mode::parse(&digits) {
                Ok(mode) => format!("write it in quotes: `\"{mode}\"`"),
                Err(_) => "write octal digits in quotes, such as `\"0750\"`".into(),
            };
            wrong(format!("a mode is octal, {value} is a decimal number"), hint)
        }
        _ => Ok(Mode::parse(str(node)?)?),
    }
}

/// A user or a group.
pub(super) fn account(node: &Node) -> Read<Account> {
    match node.value {
        Value::Integer { value, .. } => Ok(Account::parse(&value.to_string())?),
        _ => Ok(Account::parse(str(node)?)?),
    }
}

/// A user or a group by name: an entry of passwd or group needs one.
pub(super) fn account_name(node: &Node) -> Read<String> {
    match Account::parse(str(node)?)? {
        Account::Name(name) => Ok(name),
        Account::Id(id) => {
            wrong(format!("{id} is a number, not a name"), "write the name it has on this host")
        }
    }
}

/// A distribution package's name, which becomes an argument of the package manager.
pub(super) fn package(node: &Node) -> Read<String> {
    let text = str(node)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_' | ':');
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(legal) {
        return wrong(
            format!("`{text}` is not the name of a package"),
            "write it as `dpkg -S FILE` or `rpm -qf FILE` does",
        );
    }
    Ok(text.to_owned())
}

/// An absolute path on the host.
pub(super) fn host_path(node: &Node) -> Read<HostPath> {
    Ok(HostPath::parse(str(node)?)?)
}

/// An absolute path in the jail.
pub(super) fn jail_path(node: &Node) -> Read<JailPath> {
    Ok(JailPath::parse(str(node)?)?)
}

/// A jail's name.
pub(super) fn jail_name(node: &Node) -> Read<JailName> {
    Ok(JailName::parse(str(node)?)?)
}

/// A host name, as sethostname(2) takes it.
pub(super) fn hostname(node: &Node) -> Read<String> {
    let text = str(node)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(legal) {
        return wrong(
            format!("`{text}` is not a host name"),
            "write up to 64 letters, digits, `-`, `_` and `.`",
        );
    }
    Ok(text.to_owned())
}

/// A name out of a few.
pub(super) fn one_of<T: Copy>(legal: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Read<T> {
    move |node| {
        let text = str(node)?;
        if let Some((_, value)) = legal.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names = || legal.iter().map(|(name, _)| *name);
        let hint = match suggest::nearest(text, names()) {
            Some(name) => format!("did you mean `{name}`? The values are {}", suggest::listed(names())),
            None => format!("write one of {}", suggest::listed(names())),
        };
        wrong(format!("unknown value `{text}`"), hint)
    }
}

/// A capability, by its number.
pub(super) fn capability(node: &Node) -> Read<u8> {
    let text = str(node)?;
    if let Some(number) = capability::number(text) {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let hint = match suggest::nearest(bare, capability::NAMES) {
        _ if bare == "ALL" => "name the ones that are needed; see capabilities(7)".into(),
        Some(name) => format!("did you mean `{name}`?"),
        None => "capabilities(7) lists them, such as `NET_BIND_SERVICE`".into(),
    };
    wrong(format!("`{text}` is not a capability"), hint)
}

/// A word of `system_calls`, as written and what it means.
pub(super) fn system_call(node: &Node) -> Read<(String, Entry)> {
    let text = str(node)?;
    let bare = text.strip_prefix('-').unwrap_or(text);
    let Some(entry) = Entry::parse(text) else {
        let words: Vec<String> = Word::all().collect();
        let hint = match suggest::nearest(bare, words.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "docs/system-calls.md lists all calls and groups, such as `@network-io`".into(),
        };
        let what = if bare.starts_with('@') { "a group of system calls" } else { "a system call" };
        return wrong(format!("`{bare}` is not {what}"), hint);
    };
    match entry.word {
        Word::Profile(_) if entry.removes => {
            wrong("a profile cannot be taken away", "take away groups or calls, such as `-@setuid`")
        }
        Word::Call(_) if entry.removes && ALWAYS.contains(&bare) => wrong(
            format!("`{bare}` cannot be taken away"),
            "the program could not start, or not end, without it",
        ),
        _ => Ok((text.to_owned(), entry)),
    }
}

/// A device below /dev.
pub(super) fn device(node: &Node) -> Read<DeviceName> {
    let text = str(node)?;
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    match name {
        "pts" | "ptmx" => return Ok(DeviceName::Pts),
        "shm" => return Ok(DeviceName::Shm),
        "log" => return Ok(DeviceName::Log),
        _ => {}
    }
    if let Some(device) = DEVICES.iter().find(|device| device.name == name) {
        return Ok(DeviceName::Node(*device));
    }
    let names = || DEVICES.iter().map(|device| device.name).chain(["pts", "shm", "log"]);
    let hint = match suggest::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!(
                "write one of {}; any other device of the host comes by `[[mounts]]`",
                suggest::listed(names())
            )
        }
    };
    wrong(format!("`{text}` is not a device a jail can have"), hint)
}

/// One entry of `keep`, to be added to the others.
pub(super) fn keep(node: &Node) -> Read<Keep> {
    const LEGAL: &[(&str, Keep)] = &[
        ("setid", Keep { setid: true, capabilities: false }),
        ("capabilities", Keep { setid: false, capabilities: true }),
    ];
    one_of(LEGAL)(node)
}

/// Numbers and ranges of processors in one text: `0-3,8`.
pub(super) fn processors(node: &Node) -> Read<Vec<u32>> {
    const MOST: u32 = 8191; // the largest NR_CPUS a kernel can be built with, less one
    let text = str(node)?;
    let bad = || {
        format!(
            "`{text}` is not a list of processors; write numbers up to {MOST} and ranges, such as `\"0-3,8\"`"
        )
    };
    let one = |digits: &str| digits.trim().parse::<u32>().ok().filter(|n| *n <= MOST);
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (one(first), one(last)) {
            (Some(first), Some(last)) if first <= last => all.extend(first..=last),
            _ => return Err(bad().into()),
        }
        if all.len() > MOST as usize + 1 {
            return Err(bad().into());
        }
    }
    Ok(all)
}

/// A processor's number.
pub(super) fn processor(node: &Node) -> Read<u32> {
    number(0, 8191)(node)
}

/// One bound of a limit.
fn bound(unit: Unit, text: &str) -> Result<Bound, String> {
    let text = text.trim();
    if matches!(text, "unlimited" | "infinity") {
        return Ok(None);
    }
    match unit {
        Unit::Bytes => Size::parse(text).map(|size| Some(size.0)),
        Unit::Count => text
            .parse()
            .map(Some)
            .map_err(|_| format!("`{text}` is not a number; write one, or `\"unlimited\"`")),
        Unit::Seconds => match Span::parse(text)?.0 {
            time if time.subsec_nanos() == 0 => Ok(Some(time.as_secs())),
            _ => Err(format!(
                "the kernel counts this limit in seconds, `{text}` is a fraction; write whole seconds"
            )),
        },
        Unit::Microseconds if text.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("`{text}` has no unit; write `\"{text}ms\"` or `\"{text}s\"`"))
        }
        Unit::Microseconds => u64::try_from(Span::parse(text)?.0.as_micros())
            .map(Some)
            .map_err(|_| format!("`{text}` is longer than this machine can count")),
    }
}

/// One bound as the value of `soft` or `hard`.
pub(super) fn one_bound(unit: Unit) -> impl Fn(&Node) -> Read<Bound> {
    move |node| match &node.value {
        Value::Integer { value, .. } => {
            amount(node)?;
            Ok(bound(unit, &value.to_string())?)
        }
        _ => Ok(bound(unit, str(node)?)?),
    }
}

/// A limit written as one value: both bounds, or `"soft:hard"`.
pub(super) fn limit(resource: Resource) -> impl Fn(&Node) -> Read<ResourceLimit> {
    move |node| {
        let (soft, hard) = if let Value::Text(text) = &node.value {
            let (soft, hard) = text.split_once(':').unwrap_or((text, text));
            (bound(resource.unit, soft)?, bound(resource.unit, hard)?)
        } else {
            let both = one_bound(resource.unit)(node)?;
            (both, both)
        };
        Ok(ResourceLimit { resource, soft, hard })
    }
}
