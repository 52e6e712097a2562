// @ts-check
// Questions in turn: a server has few cores, and others ask, too.

/** Runs jobs in their order, so many at a time. A job that fails does not end the others; the first failure is thrown when all have ended.
 *  @param {(() => Promise<unknown>)[]} jobs @param {number} many */
export async function inTurn(jobs, many) {
  const left = jobs.values();
  /** @type {unknown[]} */ const failures = [];
  await Promise.all(Array.from({ length: Math.min(many, jobs.length) }, async () => {
    for (const job of left) await job().catch(failure => failures.push(failure));
  }));
  if (failures.length > 0) throw failures[0];
}
