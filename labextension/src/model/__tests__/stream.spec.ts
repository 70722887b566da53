import { ApiError, StreamMessage } from '../../api';
import { eventually, FakeStream, unreachable } from '../../__tests__/fakes';
import { backoff, EventStream } from '../stream';

const QUICK = { delay: () => 1, silence: 1000, patience: 1000 };

function listen(stream: EventStream): { states: string[]; kinds: string[] } {
  const heard = { states: [] as string[], kinds: [] as string[] };
  stream.stateChanged.connect((_, state) => void heard.states.push(state));
  stream.message.connect((_, message: StreamMessage) => void heard.kinds.push(message.kind));
  return heard;
}

describe('the event stream', () => {
  it('hands on messages, and keeps signs of life to itself', async () => {
    const fake = new FakeStream();
    const stream = new EventStream({ open: fake.open, ...QUICK });
    const { states, kinds } = listen(stream);
    stream.start();
    await eventually(() => stream.state === 'open', 'open');
    fake.say({ kind: 'heartbeat' });
    fake.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => kinds.length === 2, 'both messages');
    expect(kinds).toEqual(['hello', 'removed']);
    expect(states).toEqual(['opening', 'open']);
    stream.dispose();
  });

  it('opens again after the connection broke, and after it could not be opened', async () => {
    const fake = new FakeStream();
    const stream = new EventStream({ open: fake.open, ...QUICK });
    stream.start();
    await eventually(() => stream.state === 'open', 'open');
    fake.refusal = unreachable();
    fake.fail();
    await eventually(() => fake.opened >= 4, 'three more tries');
    expect(stream.problem).toBeInstanceOf(ApiError);
    fake.refusal = null;
    await eventually(() => stream.state === 'open', 'open again');
    expect(stream.problem).toBeNull();
    stream.dispose();
  });

  it('takes a stream for dead that says nothing, be it before or after hello', async () => {
    for (const greeting of [[], [{ kind: 'hello' } as const]]) {
      const fake = new FakeStream();
      fake.greeting = greeting;
      const stream = new EventStream({ open: fake.open, delay: () => 1, silence: 20, patience: 20 });
      stream.start();
      await eventually(() => fake.opened >= 3, 'it is opened again');
      stream.dispose();
    }
  });

  it('is not cut while it shows signs of life', async () => {
    const fake = new FakeStream();
    const stream = new EventStream({ open: fake.open, delay: () => 1, silence: 120, patience: 120 });
    stream.start();
    for (let i = 0; i < 12; i++) {
      await new Promise(resolve => setTimeout(resolve, 20));
      fake.say({ kind: 'heartbeat' });
    }
    expect(fake.opened).toBe(1);
    stream.dispose();
  });

  it('closes when nobody wants it, and opens no more', async () => {
    const fake = new FakeStream();
    const stream = new EventStream({ open: fake.open, ...QUICK });
    stream.start();
    await eventually(() => stream.state === 'open', 'open');
    stream.stop();
    await eventually(() => fake.closed === 1, 'closed');
    await new Promise(resolve => setTimeout(resolve, 30));
    expect(fake.opened).toBe(1);
    expect(stream.state).toBe('closed');
    stream.dispose();
  });

  it('opens at once when there is reason to, and not twice', async () => {
    const fake = new FakeStream();
    fake.refusal = unreachable();
    const stream = new EventStream({ open: fake.open, ...QUICK, delay: () => 60000 });
    stream.start();
    await eventually(() => stream.state === 'waiting', 'it waits');
    fake.refusal = null;
    stream.retry();
    await eventually(() => stream.state === 'open', 'open');
    stream.retry();
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(fake.opened).toBe(2);
    stream.dispose();
  });

  it('waits longer after each failure, to ten seconds and a fifth', () => {
    const waits = [1, 2, 3, 4].map(backoff);
    waits.forEach((wait, i) => {
      expect(wait).toBeGreaterThanOrEqual(500 * 2 ** i * 0.8);
      expect(wait).toBeLessThanOrEqual(500 * 2 ** i * 1.2);
    });
    expect(backoff(100)).toBeLessThanOrEqual(12000);
  });
});
