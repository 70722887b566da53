import { render, screen } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import { Share, curl } from '../share';
import type { AccessProps } from '../access';
import { click, none, nothing, trans } from './hands';

const access: AccessProps = {
  access: null,
  uses: null,
  people: null,
  problem: null,
  now: 1,
  trans,
  onShare: nothing,
  onUnshare: async () => true,
  onOrigins: nothing,
  onAsk: nothing,
  onLook: none
};

describe('sharing', () => {
  it('says what private means, and asks for the other', async () => {
    const onVisibility = jest.fn();
    const props = { access, mayBePublic: true, trans, onVisibility, onTokens: none, onCopy: none };
    const { rerender } = render(<Share {...props} service={service('words')} />);
    expect(screen.getByText('Private: whoever calls it needs one of its tokens.')).toBeTruthy();
    await click('Make Public…');
    expect(onVisibility).toHaveBeenCalledWith('public');
    expect(screen.queryByRole('button', { name: 'Make Private…' })).toBeNull();
    rerender(<Share {...props} mayBePublic={false} service={service('words')} />);
    const button = () => screen.getByRole<HTMLButtonElement>('button', { name: 'Make Public…' });
    expect(button().disabled).toBe(true);
    const said = 'The administrator of this installation does not allow public services.';
    expect([button().title, screen.getByText(said).tagName]).toEqual([said, 'P']);
  });

  it('says who does not let its owner make it public, whoever looks', () => {
    const props = { mayBePublic: true, trans, onVisibility: none, onTokens: none, onCopy: none };
    const told = (public_allowed: boolean, set_by: string | null): AccessProps => ({
      ...access,
      access: { shares: [], always: [], person: null, public_allowed, set_by } as any
    });
    const forbidden = told(false, 'the administrator, for the group ds');
    const { rerender } = render(<Share {...props} access={forbidden} service={service('words')} />);
    const button = () => screen.getByRole<HTMLButtonElement>('button', { name: 'Make Public…' });
    expect(button().disabled).toBe(true);
    const sentence = 'It may not be made public: so says the administrator, for the group ds.';
    expect(screen.getByText(sentence)).toBeTruthy();
    // An administrator may not herself, and looks at a service whose owner may.
    rerender(<Share {...props} access={told(true, null)} mayBePublic={false} service={service('words')} />);
    expect(button().disabled).toBe(false);
    expect(screen.queryByText(/It may not be made public/)).toBeNull();
  });

  it('goes back from public to what is shared, where anything is, or to private, and from shared to private', async () => {
    const onVisibility = jest.fn();
    const props = { mayBePublic: true, trans, onVisibility, onTokens: none, onCopy: none };
    const shares = [{ kind: 'user', name: 'bob', role: 'caller' }];
    const some = { ...access, access: { shares, always: [], person: null } as any };
    const open = service('words', { public: true, visibility: 'public' });
    const { rerender } = render(<Share {...props} access={access} service={open} />);
    expect(screen.queryByRole('button', { name: 'Keep It Shared Only…' })).toBeNull();
    rerender(<Share {...props} access={some} service={open} />);
    await click('Keep It Shared Only…');
    await click('Make Private…');
    rerender(<Share {...props} access={some} service={service('words', { visibility: 'shared' })} />);
    await click('Make Private…');
    expect(onVisibility.mock.calls).toEqual([['shared'], ['private'], ['private']]);
  });

  it('says to whom it is shared with what she may, and offers nothing else', () => {
    const props = { access, mayBePublic: true, trans, onVisibility: none, onTokens: none, onCopy: none };
    render(<Share {...props} service={service('words', { role: 'operator', visibility: 'shared' })} />);
    expect(screen.getByText(/^ann shares it with you: you may also scale/)).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Make Public…' })).toBeNull();
    expect(screen.queryByRole('status', { busy: true })).toBeNull();
  });

  it('has a line for the shell that asks what the model answers for sure, without a token in it', () => {
    const revision = { number: 1, definition: { health_check: { path: '/health' } } };
    const shared = service('words', { revisions: [revision] as any });
    expect(curl(shared)).toBe(
      `curl -H "Authorization: Bearer TOKEN" 'http://127.0.0.1:1/endpoints/ann/words/health'`
    );
    expect(curl({ ...shared, public: true })).toBe(`curl 'http://127.0.0.1:1/endpoints/ann/words/health'`);
  });
});
