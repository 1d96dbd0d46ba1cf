/** The settings that delete pictures, at once and for good. */

const KEEPING = ["keep_pictures", "keep_days", "keep_gib"]; // 0: no limit

/** Whether pictures that the value of now keeps may go under the next one. */
export function deletesMore(name: string, now: string | number, next: string | number): boolean {
  if (!KEEPING.includes(name)) return false;
  return Number(next) > 0 && (Number(now) === 0 || Number(next) < Number(now));
}
