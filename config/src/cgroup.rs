//! What the path of a control group says: which unit of systemd, which container.

/// Length of a container's id, in hexadecimal digits.
const ID_LEN: usize = 64;

/// The unit of systemd: the last service or scope, as `shop.service` of `/system.slice/shop.service/worker`.
pub fn unit_of(path: &str) -> Option<&str> {
    let is_unit = |part: &&str| matches!(part.rsplit_once('.'), Some((_, "service" | "scope")));
    let unit = path.rsplit('/').find(is_unit)?;
    // systemd puts one before names that the kernel would take for a file of its own: `_memory.service`.
    Some(unit.strip_prefix('_').unwrap_or(unit))
}

/// The id of the container, innermost first: of `docker-ID.scope`, `cri-containerd-ID.scope`, `libpod-ID.scope/container`,
/// `/kubepods/burstable/podUID/ID`, `/docker/ID`. Podman's and CRI-O's own monitors are in none.
pub fn container_of(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let (runtime, id) = part.rsplit_once('-').unwrap_or(("", part));
        let is_id = id.len() == ID_LEN && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (is_id && !runtime.ends_with("conmon")).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Check the unit of paths that systemd makes.
    #[test]
    fn units() {
        for (path, unit) in [
            ("/system.slice/shop.service", Some("shop.service")),
            ("/system.slice/shop.service/worker", Some("shop.service")),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", Some("x.scope")),
            ("/system.slice/_memory.service", Some("memory.service")),
            ("/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service")),
            ("/kubepods/burstable", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(unit_of(path), unit, "{path}");
        }
    }

    /// Check the container of paths that each runtime makes.
    #[test]
    fn containers() {
        for path in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/kubepods.slice/kubepods-podabc.slice/cri-containerd-{ID}.scope"),
            format!("/kubepods.slice/kubepods-podabc.slice/crio-{ID}.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/kubepods/burstable/pod1-2-3/{ID}"),
            format!("/docker/{ID}/init.scope"),
        ] {
            assert_eq!(container_of(&path), Some(ID), "{path}");
        }
        for path in [
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{}", ID.to_uppercase()),
            "/system.slice/docker.service".to_owned(),
        ] {
            assert_eq!(container_of(&path), None, "{path}");
        }
    }
}
