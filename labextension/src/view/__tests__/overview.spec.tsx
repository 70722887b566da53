import { service } from '../../__tests__/fakes';
import { said } from '../overview';
import { trans } from './hands';

describe('what the administrator has to say', () => {
  it('is told with who says it, and so is when the policy stops the service', () => {
    const told = said(
      service('words', {
        notice: { text: 'Please scale\u202e it down.', by: 'carol', at: 1_700_000_000 },
        ends: { at: 1_700_100_000, why: 'nobody has called it for 7 days (set for the group ds)' }
      }),
      trans
    );
    expect(told[0]).toMatch(/^Please scale it down\. \(from carol, 2023-11-1\d \d\d:\d\d\)$/);
    expect(told[1]).toMatch(
      /^It will be stopped on 2023-11-1\d .*: by then nobody has called it for 7 days \(set for the group ds\)\.$/
    );
  });

  it('is nothing where there is nothing', () => {
    expect(said(service('words'), trans)).toEqual([]);
  });
});
