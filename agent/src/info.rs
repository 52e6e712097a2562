//! What the chunks of a target say of it: from the settings, and from what is seen of the process.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use config::{Effective, Settings};
use profile::{
    chunk::{Platform, SessionInfo},
    id::{Pid, ProfilerId},
};
use sampler::Target;

use crate::{clocks, exit::Failure, settings};

/// `program`: what the target is about to become, if it is not that yet.
pub fn session_info(
    settings: &Settings,
    of: &Effective,
    target: &Target,
    program: Option<&Path>,
) -> Result<SessionInfo, Failure> {
    let rate_hz = settings.sampling.rate_hz.get();
    let mut info = SessionInfo::new(ProfilerId(uuid::Uuid::new_v4()), clocks::now(), rate_hz, target.pid);
    info.release.clone_from(&of.release.value);
    info.environment = Some(of.environment.value.clone());
    info.dist.clone_from(&of.dist.value);
    info.tags.clone_from(&of.tags.value);
    let chosen = settings::platform(of)?;
    info.platform_is_chosen = chosen.is_some();
    info.platform = chosen.unwrap_or_else(|| platform_of(target, program));
    info.in_app = settings::in_app(of);
    info.naming = settings::naming(settings);
    info.host = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    info.exe = Some(program.unwrap_or(&target.exe).to_string_lossy().into_owned());
    info.cwd = working_directory(target.pid);
    info.project_root.clone_from(&of.project_root.value);
    info.filter = settings::filter(settings);
    info.keep_interpreter_frames = settings.python.keep_interpreter_frames;
    Ok(info)
}

/// Where a target works now, as it sees it: behind its own root. The leader may have ended, so it is that of a live thread.
fn working_directory(pid: Pid) -> Option<String> {
    let folder = PathBuf::from(format!("/proc/{pid}/task/{}", sampler::target::live_thread(pid)?));
    let (cwd, root) = (folder.join("cwd").read_link().ok()?, folder.join("root").read_link().ok()?);
    let inside = Path::new("/").join(cwd.strip_prefix(root).unwrap_or(&cwd));
    inside.into_os_string().into_string().ok()
}

/// A program that rustc made says so in its `.comment` section or by its runtime's names. Python is seen by what runs.
fn platform_of(target: &Target, program: Option<&Path>) -> Platform {
    let is_rust = match program {
        Some(program) => File::open(program).is_ok_and(sampler::target::is_rust_file),
        None => sampler::target::is_rust(target),
    };
    if is_rust { Platform::RUST } else { Platform::NATIVE }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check our own working directory, behind our own root.
    #[test]
    fn working_directories() {
        let ours = Pid(i32::try_from(std::process::id()).unwrap());
        let cwd = std::env::current_dir().unwrap();
        assert_eq!(working_directory(ours).map(PathBuf::from), Some(cwd));
    }
}
