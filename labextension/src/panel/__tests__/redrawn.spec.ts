import { eventually, service } from '../../__tests__/fakes';
import { Attached } from './attached';

describe('a change of one service', () => {
  it('draws its row, and no other', async () => {
    const attached = new Attached('a', 'b', 'c');
    const { fake, model, panel } = attached;
    model.watch();
    const row = (name: string) => panel.node.querySelector(`[data-key="ann/${name}"]`);
    await eventually(() => row('c') !== null, 'the rows');
    await new Promise(resolve => setTimeout(resolve, 200));

    const drawn: string[] = [];
    const say = model.trans.__.bind(model.trans);
    const spy = jest.spyOn(model.trans, '__').mockImplementation((sentence, ...values) => {
      if (sentence === 'Open %1') {
        drawn.push(String(values[0]));
      }
      return say(sentence, ...values);
    });
    fake.events.say({ kind: 'service', service: service('b', { state: 'stopped' }) });
    await eventually(() => row('b')?.getAttribute('data-state') === 'stopped', 'the change');
    expect(drawn).toEqual(['ann/b']);

    // A list that tells nothing new of the others is no reason either.
    fake.services = [service('a', { state: 'stopped' }), service('b', { state: 'stopped' }), service('c')];
    await model.refresh();
    await eventually(() => row('a')?.getAttribute('data-state') === 'stopped', 'the change');
    expect(drawn).toEqual(['ann/b', 'ann/a']);
    spy.mockRestore();
    attached.dispose();
  });
});
