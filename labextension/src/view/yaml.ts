/** Plain data as YAML, to be read by people. Pure. */

/** Without what has no value: null, empty lists and empty mappings. */
export function yamlOf(value: unknown): string {
  return block(value, 0);
}

/** A list or a scalar on one line. */
export function textOf(value: unknown): string {
  return Array.isArray(value)
    ? `[${value.map(textOf).join(', ')}]`
    : isMapping(value)
      ? flow(value)
      : scalar(value);
}

function block(value: unknown, depth: number): string {
  const pad = '  '.repeat(depth);
  if (Array.isArray(value)) {
    return value.map(each => `${pad}- ${entry(each, depth)}`).join('');
  }
  if (isMapping(value)) {
    return Object.entries(value)
      .filter(([, each]) => !isEmpty(each))
      .map(([key, each]) => `${pad}${scalar(key)}:${after(each, depth)}`)
      .join('');
  }
  return `${pad}${scalar(value)}\n`;
}

/** What follows the colon of a key. */
function after(value: unknown, depth: number): string {
  if (Array.isArray(value) && value.every(each => !isMapping(each) && !Array.isArray(each))) {
    return ` ${textOf(value)}\n`;
  }
  return isMapping(value) || Array.isArray(value) ? `\n${block(value, depth + 1)}` : ` ${scalar(value)}\n`;
}

/** What follows the dash: a mapping begins on the same line. */
function entry(value: unknown, depth: number): string {
  return isMapping(value) ? block(value, depth + 1).trimStart() : `${textOf(value)}\n`;
}

function flow(value: Record<string, unknown>): string {
  return `{${Object.entries(value)
    .map(([key, each]) => `${scalar(key)}: ${textOf(each)}`)
    .join(', ')}}`;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    (Array.isArray(value) && value.length === 0) ||
    (isMapping(value) && Object.values(value).every(isEmpty))
  );
}

/** Bare where YAML reads the same text back, else as JSON writes it, which is YAML. */
function scalar(value: unknown): string {
  if (typeof value !== 'string') {
    return String(value);
  }
  const bare = /^[A-Za-z_./][A-Za-z0-9_./ @+()=-]*$/.test(value) && !value.endsWith(' ');
  const taken = /^(true|false|yes|no|on|off|null|~|y|n|\.inf|\.nan|\.\d.*)$/i.test(value);
  return bare && !taken ? value : JSON.stringify(value);
}
