//! The file of the state: one for daemon and command line, changed by one of them at a time, and replaced whole.
//!
//! Whoever changes it holds a lock on a file beside it, reads, changes, writes. Readers need no lock. It holds secrets: its
//! mode is 0600, that of its directory 0700; and both belong to whom the directory belongs to, whoever writes.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use super::{Form, Former, Kept, Live, Loss, MadeBy, Owed, Phase, Standing, State, Touch, TouchKind};
use crate::{config::ChangeType, keepsake, moment::at, notification::id::SubscriptionId, secret::Secret};

/// Why the state cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file or its directory cannot be read.
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is not what this program writes. Who changes the state next sets it aside.
    #[error("{} is damaged, or no file of this program", .0.display())]
    Damaged(PathBuf),
    /// A newer version wrote it.
    #[error("{} was written by a newer version of graphhook", .0.display())]
    Newer(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    /// It would be too large.
    #[error("there are too many subscriptions: {KEPT_MAX} at most")]
    Full,
}

/// A state that was changed.
#[derive(Debug)]
pub struct Updated<T> {
    /// What the change gave.
    pub value: T,
    /// The state as it is now.
    pub state: State,
    /// Where a damaged file was put: what it knew is forgotten.
    pub set_aside: Option<PathBuf>,
}

/// Tells one version of the file from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl State {
    /// What is saved in this directory; nothing if nothing is.
    ///
    /// # Errors
    ///
    /// [`StateError`]; it waits for the disk.
    pub fn load(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(NAME);
        let text = keepsake::read(&path, BYTES_MAX);
        let Some(text) = text.map_err(|error| StateError::Unreadable(path.clone(), error))? else {
            return Ok(Self::default());
        };
        parse(&text, &path)
    }

    /// Which version of the file is there, if there is one.
    pub fn stamp(directory: &Path) -> Option<Stamp> {
        let metadata = fs::symlink_metadata(directory.join(NAME)).ok()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Stamp { device: metadata.dev(), inode: metadata.ino(), size: metadata.size(), modified })
    }

    /// Reads, changes and writes, while nobody else does. A change that changes nothing writes nothing. A damaged file is
    /// set aside.
    ///
    /// # Errors
    ///
    /// [`StateError`]: then nothing has changed, but for [`StateError::Unwritable`], after which the change may be there.
    pub fn update<T>(
        directory: &Path,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<Updated<T>, StateError> {
        let unwritable = |error| StateError::Unwritable(directory.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unwritable)?;
        let _lock = lock(directory).map_err(unwritable)?;
        let path = directory.join(NAME);
        let (mut state, set_aside) = match Self::load(directory) {
            Ok(state) => (state, None),
            Err(StateError::Damaged(path)) => (Self::default(), Some(set_aside(&path).map_err(unwritable)?)),
            Err(error) => return Err(error),
        };
        let before = state.clone();
        let value = change(&mut state);
        if state.kept.len() > KEPT_MAX {
            return Err(StateError::Full);
        }
        state.bound_former();
        if state != before {
            // Higher than whatever stood in a file that is gone.
            let floor = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            state.revision =
                before.revision.saturating_add(1).max(u64::try_from(floor.as_millis()).unwrap_or_default());
            keepsake::replace(&path, &Written::of(&state))
                .map_err(|error| StateError::Unwritable(path.clone(), error))?;
        }
        Ok(Updated { value, state, set_aside })
    }

    /// Of what is gone, the oldest make room.
    fn bound_former(&mut self) {
        while self.former.len() > FORMER_MAX {
            let gone_at = |former: &Former| match former.standing {
                Standing::Gone { at } => at,
                Standing::Outgoing | Standing::Doomed => at(Duration::MAX),
            };
            let oldest = self.former.iter().enumerate().min_by_key(|(_, former)| gone_at(former));
            let Some((index, _)) = oldest else { return };
            self.former.remove(index);
        }
    }
}

/// Waits for whoever has it: nobody has it for longer than a write takes.
fn lock(directory: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = file.open(directory.join(LOCK))?;
    keepsake::belong(&file, directory)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// It keeps its secrets, and waits for somebody who looks at it.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = path.with_added_extension(format!("damaged-{}", since.as_millis()));
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn parse(text: &[u8], path: &Path) -> Result<State, StateError> {
    let damaged = || StateError::Damaged(path.to_owned());
    let Header { graphhook_subscriptions: format } = serde_json::from_slice(text).map_err(|_| damaged())?;
    if format > FORMAT {
        return Err(StateError::Newer(path.to_owned()));
    }
    let written: Written = serde_json::from_slice(text).map_err(|_| damaged())?;
    if written.kept.len() > KEPT_MAX || written.former.len() > FORMER_MAX {
        return Err(damaged());
    }
    written.state().ok_or_else(damaged)
}

#[derive(Deserialize)]
struct Header {
    graphhook_subscriptions: u32,
}

#[derive(Deserialize, Serialize)]
struct Written {
    graphhook_subscriptions: u32,
    revision: u64,
    kept: Vec<KeptRow>,
    former: Vec<FormerRow>,
}

/// All times in milliseconds since 1970.
#[derive(Deserialize, Serialize)]
struct KeptRow {
    name: String,
    by_hand: bool,
    form: FormRow,
    client_state: String,
    pending_since: Option<u64>,
    live: Option<LiveRow>,
    patched_at: Option<(u64, bool)>,
    reauthorized_at: Option<(u64, bool)>,
    owed: Vec<OwedRow>,
    is_unrotatable: bool,
}

#[derive(Deserialize, Serialize)]
struct FormRow {
    resource: String,
    change_types: Vec<ChangeType>,
    notification_url: String,
    lifecycle_url: String,
    entry: Option<String>,
    encryption: Option<String>,
    app_id: Option<String>,
    query_options: Option<String>,
    prefer: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct LiveRow {
    id: String,
    expires_at: u64,
    made_at: u64,
    renewed_at: u64,
    notification_url: String,
}

#[derive(Deserialize, Serialize)]
struct OwedRow {
    loss: LossRow,
    id: Option<String>,
    from: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum LossRow {
    Removed,
    Expired,
    Gone,
    Replaced,
}

#[derive(Deserialize, Serialize)]
struct FormerRow {
    id: String,
    name: String,
    entry: String,
    client_state: String,
    is_outgoing: bool,
    gone_at: Option<u64>,
}

impl Written {
    fn of(state: &State) -> Self {
        Self {
            graphhook_subscriptions: FORMAT,
            revision: state.revision,
            kept: state.kept.iter().map(KeptRow::of).collect(),
            former: state.former.iter().map(FormerRow::of).collect(),
        }
    }

    /// None if it contradicts itself.
    fn state(self) -> Option<State> {
        let kept = self.kept.into_iter().map(KeptRow::kept).collect::<Option<_>>()?;
        let former = self.former.into_iter().map(FormerRow::former).collect::<Option<_>>()?;
        Some(State { revision: self.revision, kept, former })
    }
}

impl KeptRow {
    fn of(kept: &Kept) -> Self {
        let Kept { name, made_by, form, client_state, phase, touch, owed, is_unrotatable } = kept;
        let touched =
            |kind| touch.filter(|touch| touch.kind == kind).map(|touch| (millis(touch.at), touch.is_done));
        let (pending_since, live) = match phase {
            Phase::Pending { since } => (Some(millis(*since)), None),
            Phase::Live(live) => (None, Some(LiveRow::of(live))),
        };
        Self {
            name: name.clone(),
            by_hand: *made_by == MadeBy::Hand,
            form: FormRow::of(form),
            client_state: client_state.expose().to_owned(),
            pending_since,
            live,
            patched_at: touched(TouchKind::Patch),
            reauthorized_at: touched(TouchKind::Reauthorize),
            owed: owed.iter().map(OwedRow::of).collect(),
            is_unrotatable: *is_unrotatable,
        }
    }

    fn kept(self) -> Option<Kept> {
        let touch = |kind, (millis, is_done)| Touch { kind, at: moment(millis), is_done };
        let patched = self.patched_at.map(|row| touch(TouchKind::Patch, row));
        let reauthorized = self.reauthorized_at.map(|row| touch(TouchKind::Reauthorize, row));
        let phase = match (self.live, self.pending_since) {
            (Some(live), _) => Phase::Live(live.live()?),
            (None, Some(since)) => Phase::Pending { since: moment(since) },
            (None, None) => return None,
        };
        Some(Kept {
            name: self.name,
            made_by: if self.by_hand { MadeBy::Hand } else { MadeBy::Wanted },
            form: self.form.form(),
            client_state: Secret::new(self.client_state),
            phase,
            touch: patched.or(reauthorized),
            owed: self.owed.into_iter().map(OwedRow::owed).collect::<Option<_>>()?,
            is_unrotatable: self.is_unrotatable,
        })
    }
}

impl FormRow {
    fn of(form: &Form) -> Self {
        let Form {
            resource,
            change_types,
            notification_url,
            lifecycle_url,
            entry,
            encryption,
            app_id,
            query_options,
            prefer,
        } = form.clone();
        Self {
            resource,
            change_types,
            notification_url,
            lifecycle_url,
            entry,
            encryption,
            app_id,
            query_options,
            prefer,
        }
    }

    fn form(self) -> Form {
        Form {
            resource: self.resource,
            change_types: self.change_types,
            notification_url: self.notification_url,
            lifecycle_url: self.lifecycle_url,
            entry: self.entry,
            encryption: self.encryption,
            app_id: self.app_id,
            query_options: self.query_options,
            prefer: self.prefer,
        }
    }
}

impl LiveRow {
    fn of(live: &Live) -> Self {
        Self {
            id: live.id.to_string(),
            expires_at: millis(live.expires_at),
            made_at: millis(live.made_at),
            renewed_at: millis(live.renewed_at),
            notification_url: live.notification_url.clone(),
        }
    }

    fn live(self) -> Option<Live> {
        Some(Live {
            id: id(self.id)?,
            expires_at: moment(self.expires_at),
            made_at: moment(self.made_at),
            renewed_at: moment(self.renewed_at),
            notification_url: self.notification_url,
        })
    }
}

impl OwedRow {
    fn of(owed: &Owed) -> Self {
        let loss = match owed.loss {
            Loss::Removed => LossRow::Removed,
            Loss::Expired => LossRow::Expired,
            Loss::Gone => LossRow::Gone,
            Loss::Replaced => LossRow::Replaced,
        };
        Self { loss, id: owed.id.as_ref().map(|id| id.to_string()), from: owed.from.map(millis) }
    }

    fn owed(self) -> Option<Owed> {
        let loss = match self.loss {
            LossRow::Removed => Loss::Removed,
            LossRow::Expired => Loss::Expired,
            LossRow::Gone => Loss::Gone,
            LossRow::Replaced => Loss::Replaced,
        };
        let id = match self.id {
            Some(text) => Some(id(text)?),
            None => None,
        };
        Some(Owed { loss, id, from: self.from.map(moment) })
    }
}

impl FormerRow {
    fn of(former: &Former) -> Self {
        Self {
            id: former.id.to_string(),
            name: former.name.clone(),
            entry: former.entry.clone(),
            client_state: former.client_state.expose().to_owned(),
            is_outgoing: former.standing == Standing::Outgoing,
            gone_at: match former.standing {
                Standing::Gone { at } => Some(millis(at)),
                Standing::Outgoing | Standing::Doomed => None,
            },
        }
    }

    fn former(self) -> Option<Former> {
        let standing = match self.gone_at {
            Some(at) => Standing::Gone { at: moment(at) },
            None if self.is_outgoing => Standing::Outgoing,
            None => Standing::Doomed,
        };
        let client_state = Secret::new(self.client_state);
        Some(Former { id: id(self.id)?, name: self.name, entry: self.entry, client_state, standing })
    }
}

fn id(text: String) -> Option<SubscriptionId<'static>> {
    Some(SubscriptionId::from(text)).filter(SubscriptionId::is_safe_in_path)
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn moment(millis: u64) -> SystemTime {
    at(Duration::from_millis(millis))
}

/// Name of the file in `graph.directory`.
pub const NAME: &str = "state.json";
const LOCK: &str = "lock";
/// Version of the file.
const FORMAT: u32 = 1;
/// Subscriptions that are kept, at most. One takes about a kilobyte.
pub const KEPT_MAX: usize = 5_000;
/// Former ones, at most.
const FORMER_MAX: usize = 5_000;
/// What is larger is not ours.
const BYTES_MAX: u64 = 64 << 20;
