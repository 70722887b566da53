import { render, screen } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import { Share, curl } from '../share';
import { click, none, trans } from './hands';

describe('sharing', () => {
  it('says what private means, and asks for the other', async () => {
    const onPublic = jest.fn();
    const props = { mayBePublic: true, trans, onPublic, onTokens: none, onCopy: none };
    const { rerender } = render(<Share {...props} service={service('words')} />);
    expect(screen.getByText('Private: whoever calls it needs one of its tokens.')).toBeTruthy();
    await click('Make Public…');
    expect(onPublic).toHaveBeenCalledWith(true);
    rerender(<Share {...props} mayBePublic={false} service={service('words')} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Make Public…' }).disabled).toBe(true);
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
