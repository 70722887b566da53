import { service } from '../../__tests__/fakes';
import { Known } from '../known';

const names = (known: Known) => known.all.map(each => `${each.name} ${each.replicas.want}`).join();
const wants = (name: string, want: number) => service(name, { replicas: { want, ready: 1, total: 1 } });

describe('the services that are known', () => {
  it('stand in order, the same one for all who look until something changes', () => {
    const known = new Known();
    known.tell(service('b'));
    known.tell(service('a'));
    expect(names(known)).toBe('a 1,b 1');
    expect(known.all).toBe(known.all);
    const other = known.get('ann/b');
    known.tell(wants('a', 2));
    expect(names(known)).toBe('a 2,b 1');
    expect(known.get('ann/b')).toBe(other);
    known.remove('ann/a');
    expect(names(known)).toBe('b 1');
  });

  it('take no answer of which the stream has told more since it was asked for', () => {
    const known = new Known();
    known.tell(service('a'));
    known.tell(service('b'));
    const asked = known.asked();
    known.remove('ann/a');
    expect(known.answer(service('a', { state: 'deleting' }), asked)).toBe(false);
    expect(known.answer(wants('b', 2), asked)).toBe(true);
    expect(names(known)).toBe('b 2');
    expect(known.answer(service('a', { id: 'anew' }), known.asked())).toBe(true);
    expect(names(known)).toBe('a 1,b 2');
  });

  it('take of a list only what is not older than the stream and the answers to changes', () => {
    const known = new Known();
    known.list([service('a'), service('b'), service('c')], known.asked(), true);
    const asked = known.asked();
    known.tell(service('new'));
    known.tell(wants('a', 2));
    known.remove('ann/b');
    known.answer(wants('c', 3), known.asked());
    known.list([service('a'), service('b'), service('c'), service('d')], asked, true);
    expect(names(known)).toBe('a 2,c 3,d 1,new 1');
    known.list([service('a')], known.asked(), true);
    expect(names(known)).toBe('a 1');
  });

  it('take no answer that was asked for before a list, unless nothing tells what came after the list', () => {
    const known = new Known();
    known.tell(service('a'));
    known.tell(service('b'));
    let asked = known.asked();
    known.list([service('b')], known.asked(), true);
    expect(known.answer(service('a', { state: 'deleting' }), asked)).toBe(false);
    expect(names(known)).toBe('b 1');
    asked = known.asked();
    known.list([service('b')], known.asked(), false);
    expect(known.answer(wants('b', 2), asked)).toBe(true);
  });
});
