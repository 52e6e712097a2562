// @ts-check
// Words of the page of services.

/** What is not production is told apart. @param {?string} environment */
export function isProduction(environment) {
  return environment === null || /^prod(uction)?\b/i.test(environment);
}

/** How long ago, in words. @param {number} us */
export function ago(us) {
  const seconds = Math.max(0, Math.round(us / 1e6));
  if (seconds < 120) return `${seconds}\u202fs ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}\u202fmin ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)}\u202fh ago` : `${Math.round(seconds / 86400)} days ago`;
}

/** A command that sends here, or keeps by itself where nothing is known of a project. @param {string | undefined} dsn @param {string} rest */
export function command(dsn, rest) {
  return `${dsn ? `SENTRY_DSN=${dsn} ` : ""}sentry-profiled ${rest}`;
}

/** @param {number} number @param {string} of */
export function many(number, of) {
  return `${number} ${of}${number === 1 ? "" : "s"}`;
}
