import { Changes } from '../changes';

const wait = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds));

describe('changes', () => {
  it('are told at once after a quiet time, and then seven times a second at most', async () => {
    const changes = new Changes({});
    const told: number[] = [];
    const began = performance.now();
    changes.signal.connect(() => void told.push(performance.now() - began));
    while (performance.now() - began < 700) {
      changes.soon();
      await wait(10);
    }
    await wait(200);
    expect(told[0]).toBeLessThan(120);
    expect(told.length).toBeGreaterThan(2);
    expect(told.length).toBeLessThan(8);
    for (let i = 1; i < told.length; i++) {
      expect(told[i] - told[i - 1]).toBeGreaterThan(140);
    }
    changes.dispose();
  });
});
