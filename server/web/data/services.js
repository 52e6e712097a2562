// @ts-check
// Processes as services: those of one program in one project and environment are instances of one service.

/** @typedef {{profiler_id: string, platform: string, environment: ?string, release: ?string, sdk: [string, string], host: ?string, pid: ?number, executable: ?string,
 *  first_us: number, last_us: number, profiles: number, samples: number, bytes: number}} Session */
/** `place` is how addresses name it; `release` the newest, `before` the one before it. Instances are processes at one time; `profiled_us` is theirs together,
 *  `covered_us` the time in which at least one was profiled.
 *  @typedef {{key: string, project: string, name: string, environment: ?string, release: ?string, before: ?string, released_us: number, platforms: string[], instances: number,
 *  profiles: number, samples: number, bytes: number, profiled_us: number, covered_us: number, first_us: number, last_us: number,
 *  place: {project: string, env: string[], release: string[], instance: string[]}}} Service */

/** Sessions that an address can name. */
const INSTANCES = 50;

/** `package@1.2.3` has its version behind the `@`, as Sentry's releases do. @param {?string} release */
export function version(release) {
  return release === null ? "" : release.slice(release.lastIndexOf("@") + 1);
}

/** @param {Session} session */
export function programOf({ executable, release, sdk }) {
  const named = release !== null && release.includes("@") ? release.slice(0, release.lastIndexOf("@")) : "";
  return named.trim() || executable?.split("/").pop()?.trim() || sdk[0].trim() || "unnamed";
}

/** How long at least one span lasted, all of them together, and how many at most at one time.
 *  @param {{first_us: number, last_us: number}[]} spans */
export function cover(spans) {
  // An end comes before a start at the same time: a process that was replaced is one instance.
  const turns = spans.flatMap(({ first_us, last_us }) => [{ at: first_us, by: 1 }, { at: last_us, by: -1 }]).sort((a, b) => a.at - b.at || a.by - b.by);
  let open = 0, most = 0, covered = 0, sum = 0, since = 0;
  for (const { at, by } of turns) {
    if (open > 0) { covered += at - since; sum += (at - since) * open; }
    open += by;
    most = Math.max(most, open);
    since = at;
  }
  return { covered, sum, most: Math.max(most, spans.length > 0 ? 1 : 0) };
}

/** Only what is between two times. @template {{first_us: number, last_us: number}} S @param {S[]} spans @param {number} from @param {number} to @returns {S[]} */
export function clipped(spans, from, to) {
  return spans.filter(({ first_us, last_us }) => last_us >= from && first_us <= to)
    .map(span => ({ ...span, first_us: Math.max(from, span.first_us), last_us: Math.min(to, span.last_us) }));
}

/** @param {number | string} project @param {Session[]} sessions @param {{from_us: number, to_us: number}} [window] what is outside does not count @returns {Service[]} in no order */
export function group(project, sessions, window) {
  /** @type {Map<string, Session[]>} */ const groups = new Map();
  for (const session of sessions) {
    const key = JSON.stringify([String(project), session.environment ?? "", programOf(session)]);
    const list = groups.get(key);
    if (list) list.push(session); else groups.set(key, [session]);
  }
  return [...groups].map(([key, sessions]) => {
    const [, , name] = /** @type {string[]} */ (JSON.parse(key)), { environment } = sessions[0];
    /** When each release was first seen. @type {Map<?string, number>} */ const releases = new Map();
    for (const { release, first_us } of sessions) releases.set(release, Math.min(first_us, releases.get(release) ?? Infinity));
    const newest = [...releases].sort((a, b) => b[1] - a[1]);
    const { covered, sum, most } = cover(window ? clipped(sessions, window.from_us, window.to_us) : sessions);
    const others = [...groups.values()].filter(other => other !== sessions && other[0].environment === environment).flat();
    const of = (/** @type {"profiles" | "samples" | "bytes"} */ what) => sessions.reduce((sum, session) => sum + session[what], 0);
    return {
      key, project: String(project), name, environment, release: newest[0][0], before: newest[1]?.[0] ?? null, released_us: newest[0][1],
      platforms: [...new Set(sessions.map(session => session.platform))], instances: most, profiles: of("profiles"), samples: of("samples"), bytes: of("bytes"),
      profiled_us: sum, covered_us: covered, first_us: Math.min(...releases.values()), last_us: sessions.reduce((last, { last_us }) => Math.max(last, last_us), 0),
      place: { project: String(project), env: [environment ?? ""], ...among(sessions, others) },
    };
  });
}

/** What tells sessions from others of their environment: nothing where there are none; their releases, which hold for processes to come, too; or they themselves.
 *  @param {Session[]} sessions @param {Session[]} others */
function among(sessions, others) {
  const releases = new Set(sessions.map(({ release }) => release ?? ""));
  if (others.length === 0) return { release: [], instance: [] };
  if (!others.some(({ release }) => releases.has(release ?? ""))) return { release: [...releases], instance: [] };
  const newest = sessions.toSorted((a, b) => b.last_us - a.last_us).map(session => session.profiler_id);
  return { release: [], instance: [...new Set(newest)].slice(0, INSTANCES) };
}

/** @type {Record<string, string>} */
const PLATFORMS = {
  python: "Python", rust: "Rust", node: "Node.js", javascript: "JavaScript", go: "Go", php: "PHP", ruby: "Ruby", java: "Java", native: "native code",
  cocoa: "Apple", android: "Android",
};

/** @param {string} platform as Sentry writes it */
export function platformName(platform) {
  return Object.hasOwn(PLATFORMS, platform) ? PLATFORMS[platform] : platform;
}
