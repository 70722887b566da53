import { queryOf, wishOf } from '../handover';
import { CommandIDs } from '../parts';

it('names in an address what is to be opened, and nothing that is not given', () => {
  expect(queryOf(CommandIDs.open, { key: 'ann/words', tab: 'logs' })).toBe(
    '?model-service=open&model-service-key=ann%2Fwords&model-service-tab=logs'
  );
  expect(queryOf(CommandIDs.deploy, { path: null })).toBe('?model-service=deploy');
});

it.each([
  [CommandIDs.open, { key: 'ann/words', tab: 'logs' }],
  [CommandIDs.tryIt, { key: 'ann/words' }],
  [CommandIDs.deploy, { path: 'a b/ü&c' }],
  [CommandIDs.deploy, {}]
])('reads what it wrote: %s %j', (command, args) => {
  expect(wishOf(queryOf(command, args))).toEqual({ command, args, rest: '' });
});

it('leaves what others ask for', () => {
  expect(wishOf('?reset&model-service=open&model-service-key=a&x=1')?.rest).toBe('?reset=&x=1');
});

it.each(['', '?reset', '?model-service=', '?model-service=delete&model-service-key=ann%2Fwords', '?key=a'])(
  'opens only, and changes nothing for an address: %s',
  query => {
    expect(wishOf(query)).toBeNull();
  }
);
