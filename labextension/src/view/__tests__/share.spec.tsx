import { render, screen } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import { Share, curl } from '../share';
import type { AccessProps } from '../access';
import { click, none, nothing, trans } from './hands';

const access: AccessProps = {
  access: null,
  people: null,
  problem: null,
  now: 1,
  trans,
  onShare: nothing,
  onUnshare: async () => true,
  onAsk: nothing,
  onLook: none
};

describe('sharing', () => {
  it('says what private means, and asks for the other', async () => {
    const onPublic = jest.fn();
    const props = { access, mayBePublic: true, trans, onPublic, onTokens: none, onCopy: none };
    const { rerender } = render(<Share {...props} service={service('words')} />);
    expect(screen.getByText('Private: whoever calls it needs one of its tokens.')).toBeTruthy();
    await click('Make Public…');
    expect(onPublic).toHaveBeenCalledWith(true);
    rerender(<Share {...props} mayBePublic={false} service={service('words')} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Make Public…' }).disabled).toBe(true);
  });

  it('says to whom it is shared with what she may, and offers nothing else', () => {
    const props = { access, mayBePublic: true, trans, onPublic: none, onTokens: none, onCopy: none };
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
