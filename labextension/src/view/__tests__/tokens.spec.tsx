import { render, screen } from '@testing-library/react';
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
  calls_today: null,
  in_flight: null
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
