import { shortened } from '../notices';

const REASON =
  'The service words cannot be made public, as the policy of this site allows endpoints with tokens only';
const ADVICE = 'ask its administrator, or make a token for each of the callers';

it('leaves a sentence that fits as it is', () => {
  expect(shortened('There is no service words.')).toBe('There is no service words.');
  expect(shortened('x'.repeat(140))).toBe('x'.repeat(140));
});

it('keeps the end of a longer one, which says what to do, and the beginning', () => {
  const short = shortened(`${REASON}; ${ADVICE}.`);
  expect(short.endsWith(` … ${ADVICE}.`)).toBe(true);
  expect(short.startsWith('The service words cannot be made public')).toBe(true);
  expect(short.length).toBeLessThanOrEqual(140);
});

it('cuts what has no end of its own at a word', () => {
  const short = shortened('never ending words '.repeat(20));
  expect(short.length).toBeLessThanOrEqual(140);
  expect(short).toMatch(/(never|ending|words)…$/);
});
