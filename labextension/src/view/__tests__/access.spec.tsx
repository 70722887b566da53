import { fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import type { Access as AccessInfo, ShareInfo } from '../../types';
import { Access, AccessProps } from '../access';
import { click, none, nothing, trans, write } from './hands';

const BOB: ShareInfo = {
  kind: 'user',
  name: 'bob',
  role: 'viewer',
  limits: { calls_per_second: null, in_flight: null, calls_per_day: 9 },
  created_at: 1,
  created_by: 'ann',
  calls_today: null,
  last_call_at: null,
  former: false,
  notices: []
};
const ACCESS: AccessInfo = {
  visibility: 'shared',
  public_allowed: true,
  set_by: null,
  shares: [BOB, { ...BOB, kind: 'group', name: 'class', role: 'caller', limits: null }],
  always: ['ann owns ann/words and may do everything with it.'],
  origins: [],
  person: null
};
const PROPS: AccessProps = {
  access: ACCESS,
  uses: null,
  people: true,
  problem: null,
  now: 1,
  trans,
  onShare: nothing,
  onUnshare: async () => true,
  onOrigins: nothing,
  onAsk: nothing,
  onLook: none
};

describe('who may do what', () => {
  it('lists with whom it is shared, as what, and who may besides', () => {
    render(<Access {...PROPS} />);
    const row = (of: string) => [...document.querySelectorAll(`[data-share="${of}"] td`)];
    expect(row('user/bob').map(each => each.textContent)[2]).toBe('9/day');
    expect(row('user/bob')[1].querySelector('select')!.value).toBe('viewer');
    expect(row('group/class')[0].textContent).toBe('group');
    expect(screen.getByText(ACCESS.always[0])).toBeTruthy();
  });

  it('shares with a user or a group, with the role and the limits for each', async () => {
    const onShare = jest.fn(nothing);
    render(<Access {...PROPS} onShare={onShare} />);
    write('Name of the user', ' carol ');
    await click('Share');
    expect(onShare).toHaveBeenLastCalledWith('user', 'carol', { role: 'caller', limits: null });
    write('Share with', 'group');
    write('Name of the group', 'class of 2026');
    write('Role', 'operator');
    write('Calls per day', 'many');
    await click('Share');
    expect(onShare).toHaveBeenCalledTimes(1);
    write('Calls per day', '200');
    await click('Share');
    expect(onShare).toHaveBeenLastCalledWith('group', 'class of 2026', {
      role: 'operator',
      limits: { calls_per_second: null, in_flight: null, calls_per_day: 200 }
    });
    expect((screen.getByLabelText('Name of the group') as HTMLInputElement).value).toBe('');
  });

  it('marks what is shared with somebody who was deleted, and lets it be taken back alone', () => {
    render(<Access {...PROPS} access={{ ...ACCESS, shares: [{ ...BOB, former: true }] }} />);
    expect(screen.getByRole('rowheader').textContent).toBe('bob (former)');
    expect(screen.getByText(/bob \(former\) was deleted, and another user has the name/)).toBeTruthy();
    expect((screen.getByLabelText('Role of bob') as HTMLSelectElement).disabled).toBe(true);
    const button = (label: string) => screen.getByLabelText(label) as HTMLButtonElement;
    expect(button('Limits for bob').disabled).toBe(true);
    expect(button('Share it with bob no more').disabled).toBe(false);
  });

  it('changes a role, and leaves the limits as they are', async () => {
    const onShare = jest.fn(nothing);
    render(<Access {...PROPS} onShare={onShare} />);
    write('Role of bob', 'operator');
    expect(onShare).toHaveBeenCalledWith('user', 'bob', { role: 'operator', limits: BOB.limits });
  });

  it('changes the limits of a share, and leaves the role as it is', async () => {
    const onShare = jest.fn(nothing);
    render(<Access {...PROPS} onShare={onShare} />);
    await click('Limits for bob');
    const form = within(screen.getByRole('form', { name: 'Limits of bob' }));
    const field = form.getByLabelText('Calls per day') as HTMLInputElement;
    expect(field.value).toBe('9');
    fireEvent.change(field, { target: { value: '20' } });
    await click('Set Limits');
    expect(onShare).toHaveBeenCalledWith('user', 'bob', {
      role: 'viewer',
      limits: { calls_per_second: null, in_flight: null, calls_per_day: 20 }
    });
    expect(screen.queryByRole('form', { name: 'Limits of bob' })).toBeNull();
    await click('Limits for class');
    await click('Set Limits');
    expect(onShare).toHaveBeenLastCalledWith('group', 'class', { role: 'caller', limits: null });
  });

  it('says who called how often, those first who called most', () => {
    const use = { label: '', refused: 0, last_at: 1 };
    const uses = [
      { ...use, kind: 'user' as const, name: 'bob', day: '2026-11-29', calls: 2, refused: 1 },
      { ...use, kind: 'user' as const, name: 'bob', day: '2026-11-30', calls: 1 },
      { ...use, kind: 'token' as const, name: 't1', label: 'ci', day: '2026-11-30', calls: 9, last_at: null }
    ];
    const onLook = jest.fn();
    const { rerender } = render(
      <Access {...PROPS} uses={{ uses, today: '2026-11-30', complete: false }} onLook={onLook} />
    );
    const rows = [...document.querySelectorAll('[data-caller]')].map(row =>
      [...row.children].slice(0, 4).map(each => each.textContent)
    );
    expect(rows).toEqual([
      ['token ci (t1)', '9', '9', '0'],
      ['bob', '1', '3', '1']
    ]);
    expect(screen.getByText('There is more, of days before these.')).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'Look again who called it' }));
    expect(onLook).toHaveBeenCalled();
    rerender(<Access {...PROPS} uses={{ uses: [], today: '2026-11-30', complete: true }} />);
    expect(screen.getByText('Nobody called it in the last 30 days.')).toBeTruthy();
  });

  it('shares no more, and says why that was refused', async () => {
    const onUnshare = jest.fn(async (): Promise<boolean> => {
      throw new Error('ann/words is not shared with bob.');
    });
    render(<Access {...PROPS} onUnshare={onUnshare} />);
    await click('Share it with bob no more');
    expect(onUnshare).toHaveBeenCalledWith(BOB);
    expect(screen.getByRole('alert').textContent).toBe('ann/words is not shared with bob.');
  });

  it('says of one person what she may, and why', async () => {
    const onAsk = jest.fn(nothing);
    const { rerender } = render(<Access {...PROPS} onAsk={onAsk} />);
    write('What may this user do?', 'bob');
    await click('Tell');
    expect(onAsk).toHaveBeenCalledWith('bob');
    const told = (role: 'viewer' | null, why: string, perhaps: 'viewer' | null = null) => {
      rerender(
        <Access {...PROPS} access={{ ...ACCESS, person: { name: 'bob', role, perhaps, why: [why] } }} />
      );
      return screen.getAllByRole('status').find(each => each.textContent!.startsWith('bob'))!.textContent;
    };
    expect(told('viewer', 'It is shared with bob as viewer.')).toBe(
      'bob may call it, and see its state, events, logs and figuresIt is shared with bob as viewer.'
    );
    expect(told(null, 'Nothing of it is shared with bob.')).toContain('may do nothing with it by a share');
    expect(told(null, 'It is shared as viewer with the group ds.', 'viewer')).toBe(
      'bob may do nothing with it by nameIn such a group as is told below: bob may call it, and see its state, ' +
        'events, logs and figuresIt is shared as viewer with the group ds.'
    );
  });

  it('offers nothing to share where there is nobody, and says what is wrong', async () => {
    const { rerender } = render(<Access {...PROPS} people={false} />);
    expect(screen.queryByRole('button', { name: 'Share' })).toBeNull();
    expect(screen.queryByRole('button', { name: 'Tell' })).toBeNull();
    expect(screen.getByRole('button', { name: 'Allow' })).toBeTruthy(); // pages are no people
    expect(within(screen.getByRole('list')).getByText(/ann owns/)).toBeTruthy();
    const onLook = jest.fn();
    rerender(<Access {...PROPS} access={null} problem="The gateway does not answer." onLook={onLook} />);
    fireEvent.click(screen.getByRole('button', { name: 'Try Again' }));
    expect(onLook).toHaveBeenCalled();
    rerender(<Access {...PROPS} access={null} />);
    expect(screen.getByRole('status').getAttribute('aria-busy')).toBe('true');
  });
});
