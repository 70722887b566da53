import { fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import type { Token } from '../../types';
import { Tokens, TokensProps } from '../tokens';
import { click, none, nothing, trans, write } from './hands';

const TOKEN: Token = {
  id: 't1',
  name: 'ci',
  created_at: 1,
  expires_at: 30 * 86400,
  last_used_at: null,
  limits: null,
  family: 'a7',
  created_by: 'alice',
  calls_today: null,
  in_flight: null,
  rules: []
};

describe('the tokens', () => {
  const props: TokensProps = {
    tokens: [TOKEN],
    fresh: null,
    isPublic: false,
    now: 1,
    trans,
    onMake: nothing,
    onForget: none,
    onLimit: nothing,
    onRevoke: async () => true,
    onCopy: none
  };

  it('are made with a label and an expiry, and revoked', async () => {
    const onMake = jest.fn(nothing);
    const onRevoke = jest.fn(async () => true);
    render(<Tokens {...props} onMake={onMake} onRevoke={onRevoke} />);
    write('Label', ' laptop ');
    write('Expires', '7');
    await click('Make Token');
    expect(onMake).toHaveBeenCalledWith({ name: 'laptop', expires_in: 7 * 86400 });
    await click('Revoke ci');
    expect(onRevoke).toHaveBeenCalledWith(props.tokens![0]);
    expect(screen.getByText('in 30 d')).toBeTruthy();
  });

  it('are made with the limits that are given, and with none that are wrong', async () => {
    const onMake = jest.fn(nothing);
    render(<Tokens {...props} onMake={onMake} />);
    write('Calls per second', '0.5');
    write('Calls per day', '1.5');
    expect(screen.getByRole('alert').textContent).toBe('A whole number from 1 on; empty: no limit.');
    await click('Make Token');
    expect(onMake).not.toHaveBeenCalled();
    write('Calls per day', ' 1000 ');
    await click('Make Token');
    expect(onMake).toHaveBeenCalledWith({
      name: '',
      expires_in: 30 * 86400,
      limits: { calls_per_second: 0.5, in_flight: null, calls_per_day: 1000 }
    });
    expect((screen.getByLabelText('Calls per day') as HTMLInputElement).value).toBe('');
  });

  it('are listed with their limits and what they did, and get others', async () => {
    const limits = { calls_per_second: 10, in_flight: null, calls_per_day: 1000 };
    const tokens = [
      { ...TOKEN, limits, calls_today: 12, in_flight: 3 },
      { ...TOKEN, id: 't2', name: 'free' }
    ];
    const onLimit = jest.fn(nothing);
    render(<Tokens {...props} tokens={tokens} onLimit={onLimit} />);
    const cells = (id: string) =>
      [...document.querySelectorAll(`[data-token=${id}] td`)].map(each => each.textContent).slice(4, 7);
    expect(cells('t1')).toEqual(['10/s, 1000/day', '12', '3']);
    expect(cells('t2')).toEqual(['–', '–', '–']);
    await click('Limits of ci');
    const form = within(screen.getByRole('form', { name: 'Limits of ci' }));
    const field = (label: string) => form.getByLabelText(label) as HTMLInputElement;
    expect(document.activeElement).toBe(field('Calls per second'));
    expect([field('Calls per second').value, field('Calls at once').value]).toEqual(['10', '']);
    fireEvent.change(field('Calls at once'), { target: { value: '4' } });
    fireEvent.change(field('Calls per second'), { target: { value: '0' } });
    await click('Set Limits');
    expect(onLimit).not.toHaveBeenCalled();
    fireEvent.change(field('Calls per second'), { target: { value: '' } });
    await click('Set Limits');
    expect(onLimit).toHaveBeenCalledWith(tokens[0], {
      calls_per_second: null,
      in_flight: 4,
      calls_per_day: 1000
    });
    expect(screen.queryByRole('form', { name: 'Limits of ci' })).toBeNull();
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Limits of ci' }));
  });

  it('are shown once: the new one until it is dismissed', async () => {
    const onForget = jest.fn();
    const fresh = { ...props.tokens![0], id: 't2', token: 'jms_secret' };
    const { rerender } = render(<Tokens {...props} fresh={fresh} onForget={onForget} />);
    expect(screen.getByText('jms_secret')).toBeTruthy();
    await click('Done');
    expect(onForget).toHaveBeenCalled();
    rerender(<Tokens {...props} />);
    expect(screen.queryByText('jms_secret')).toBeNull();
  });

  it('keep the focus: from the button to the new token, and back to the form when that is dismissed', async () => {
    const fresh = { ...props.tokens![0], id: 't2', token: 'jms_secret' };
    const { rerender } = render(<Tokens {...props} />);
    rerender(<Tokens {...props} fresh={fresh} />);
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Copy the token' }));
    await click('Done');
    expect(document.activeElement).toBe(screen.getByLabelText('Label'));
  });

  it('say why one was refused', async () => {
    const onMake = async () => {
      throw new Error('There are 100 tokens already; revoke one.');
    };
    render(<Tokens {...props} onMake={onMake} />);
    await click('Make Token');
    expect(screen.getByRole('alert').textContent).toBe('There are 100 tokens already; revoke one.');
  });
});
