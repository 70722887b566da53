/** The health check of a service: at which path it asks, and which lines of a log it leaves. Pure. */
import type { Service } from '../types';

/** As the active revision has it; null: it has none. */
export function healthPath(service: Service): string | null {
  const active = service.revisions.find(each => each.number === service.revision);
  const check = (active?.definition['health_check'] ?? null) as { path?: unknown } | null;
  return typeof check?.path === 'string' ? check.path : null;
}

/** The lines that do not name that path: "GET /health HTTP/1.1" names it, "GET /healthy" does not. */
export function withoutChecks(lines: readonly string[], path: string): readonly string[] {
  const named = path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const check = new RegExp(`(^|[\\s"'])${named}(?=[\\s"'?]|$)`);
  return lines.filter(each => !check.test(each));
}
