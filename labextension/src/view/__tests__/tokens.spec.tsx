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
  notices: [],
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
    onChange: nothing,
    onRotate: nothing,
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
      shorten: true,
      limits: { calls_per_second: 0.5, in_flight: null, calls_per_day: 1000 }
    });
    expect((screen.getByLabelText('Calls per day') as HTMLInputElement).value).toBe('');
  });

  it('are listed with their limits and what they did, and get others', async () => {
    const limits = { calls_per_second: 10, in_flight: null, calls_per_day: 1000 };
    const tokens = [
      { ...TOKEN, limits, calls_today: 12, in_flight: 3 },
      { ...TOKEN, id: 't2', name: 'free', rules: [{ path: '/v1/*', methods: ['GET'] }] }
    ];
    const onChange = jest.fn(nothing);
    render(<Tokens {...props} tokens={tokens} onChange={onChange} />);
    const cells = (id: string) =>
      [...document.querySelectorAll(`[data-token=${id}] td`)].map(each => each.textContent).slice(5, 9);
    expect(document.querySelectorAll('[data-token=t1] td')[2].textContent).toBe('alice');
    expect(cells('t1')).toEqual(['10/s, 1000/day', '–', '12', '3']);
    expect(cells('t2')).toEqual(['–', 'GET /v1/*', '–', '–']);
    await click('Limits of ci');
    const form = within(screen.getByRole('form', { name: 'Limits of ci' }));
    const field = (label: string) => form.getByLabelText(label) as HTMLInputElement;
    expect(document.activeElement).toBe(field('Calls per second'));
    expect([field('Calls per second').value, field('Calls at once').value]).toEqual(['10', '']);
    fireEvent.change(field('Calls at once'), { target: { value: '4' } });
    fireEvent.change(field('Calls per second'), { target: { value: '0' } });
    await click('Set Limits');
    expect(onChange).not.toHaveBeenCalled();
    fireEvent.change(field('Calls per second'), { target: { value: '' } });
    await click('Set Limits');
    expect(onChange).toHaveBeenCalledWith(tokens[0], {
      limits: { calls_per_second: null, in_flight: 4, calls_per_day: 1000 }
    });
    expect(screen.queryByRole('form', { name: 'Limits of ci' })).toBeNull();
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Limits of ci' }));
  });

  it('are for some paths alone, when they are made and later', async () => {
    const onMake = jest.fn(nothing);
    const onChange = jest.fn(nothing);
    const ruled = { ...TOKEN, rules: [{ path: '/v1/*', methods: ['GET'] }] };
    render(<Tokens {...props} tokens={[ruled]} onMake={onMake} onChange={onChange} />);
    write('Only for', 'v1/chat');
    await click('Make Token');
    expect(onMake).not.toHaveBeenCalled();
    expect(screen.getByRole('alert').textContent).toContain('Paths such as /v1/models');
    write('Only for', 'post /v1/chat/*, /v1/models');
    await click('Make Token');
    expect(onMake.mock.calls).toEqual([
      [
        expect.objectContaining({
          rules: [
            { path: '/v1/chat/*', methods: ['POST'] },
            { path: '/v1/models', methods: null }
          ]
        })
      ]
    ]);
    await click('Limits of ci');
    const field = within(screen.getByRole('form', { name: 'Limits of ci' })).getByLabelText('Only for');
    expect((field as HTMLInputElement).value).toBe('GET /v1/*');
    fireEvent.change(field, { target: { value: '' } });
    await click('Set Limits');
    expect(onChange).toHaveBeenCalledWith(ruled, expect.objectContaining({ rules: [] }));
  });

  it('are rotated with an overlap, and say why one was not', async () => {
    const onRotate = jest.fn(nothing);
    const { rerender } = render(<Tokens {...props} onRotate={onRotate} />);
    await click('Rotate ci');
    const name = 'Another token in the place of ci';
    expect(document.activeElement).toBe(screen.getByLabelText(/The former one ends/));
    write(/The former one ends/, '3600');
    await click('Rotate');
    expect(onRotate).toHaveBeenCalledWith(TOKEN, 3600);
    expect(screen.queryByRole('form', { name })).toBeNull();
    const refuse = async () => {
      throw new Error('A token of ann may live for 7 d.');
    };
    rerender(<Tokens {...props} onRotate={refuse} />);
    await click('Rotate ci');
    await click('Rotate');
    expect(screen.getByRole('alert').textContent).toBe('A token of ann may live for 7 d.');
    await click('Cancel');
    expect(screen.queryByRole('form', { name })).toBeNull();
  });

  it('are shown once: the new one until it is dismissed', async () => {
    const onForget = jest.fn();
    const fresh = {
      ...props.tokens![0],
      id: 't2',
      token: 'jms_secret',
      notices: ['The token was never to expire, and lives 7 days.']
    };
    const { rerender } = render(<Tokens {...props} fresh={fresh} onForget={onForget} />);
    expect(screen.getByText('jms_secret')).toBeTruthy();
    expect(screen.getByText('The token was never to expire, and lives 7 days.')).toBeTruthy();
    await click('Done');
    expect(onForget).toHaveBeenCalled();
    rerender(<Tokens {...props} />);
    expect(screen.queryByText('jms_secret')).toBeNull();
  });

  it('keep the focus: from the button to the new token, and back to the form when that is dismissed', async () => {
    const fresh = { ...props.tokens![0], id: 't2', token: 'jms_secret', notices: [] };
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
