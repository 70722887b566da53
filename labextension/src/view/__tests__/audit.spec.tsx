import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import type { AuditEntry } from '../../types';
import { Audit, AuditProps, changed } from '../audit';
import { click, none, nothing, trans, write } from './hands';

const SCALED: AuditEntry = {
  id: 7,
  at: 1,
  who: 'ann',
  address: '10.0.0.7',
  action: 'scale_service',
  target: 'ann/words',
  status: 200,
  code: '',
  before: { replicas: 1 },
  after: { replicas: 3 },
  request_id: 'r',
  count: 1
};
const DENIED: AuditEntry = {
  ...SCALED,
  id: 8,
  who: '',
  action: 'delete_service',
  status: 404,
  code: 'not_found',
  before: null,
  after: null,
  count: 12
};
const PROPS: AuditProps = {
  entries: [SCALED, DENIED],
  more: false,
  problem: null,
  now: 1,
  trans,
  onLook: none,
  onOlder: nothing,
  onSave: nothing
};
const rows = () =>
  [...document.querySelectorAll('[data-entry]')].map(each => each.getAttribute('data-entry'));
const words = (id: number) => document.querySelector(`[data-entry="${id}"]`)!.textContent;

describe('who did what', () => {
  it('tells who from where did what, and what became of it, the newest first', () => {
    render(<Audit {...PROPS} />);
    expect(rows()).toEqual(['8', '7']);
    expect(words(7)).toContain('ann10.0.0.7scale servicedonereplicas: 1 → 3');
    expect(words(8)).toContain('nobody who is known');
    expect(words(8)).toContain('refused: 404 not_found, 12 times');
  });

  it('finds by who or what, and shows what was refused alone', () => {
    render(<Audit {...PROPS} />);
    write('Find who or what', 'SCALE');
    expect(rows()).toEqual(['7']);
    write('Find who or what', '');
    fireEvent.click(screen.getByLabelText('Only what was refused'));
    expect(rows()).toEqual(['8']);
    expect(screen.getByText('1 entry')).toBeTruthy();
  });

  it('saves all of it, and says why that did not work', async () => {
    const onSave = jest.fn(async (): Promise<void> => {
      throw new Error('The gateway does not answer.');
    });
    render(<Audit {...PROPS} onSave={onSave} />);
    await click('Save All…');
    expect(onSave).toHaveBeenCalledTimes(1);
    expect(screen.getByText('The gateway does not answer.')).toBeTruthy();
  });

  it('asks for older ones only where there are some', async () => {
    const onOlder = jest.fn(nothing);
    const { rerender } = render(<Audit {...PROPS} />);
    expect(screen.queryByText('Show older ones')).toBeNull();
    rerender(<Audit {...PROPS} more onOlder={onOlder} />);
    await click('Show older ones');
    expect(onOlder).toHaveBeenCalledTimes(1);
  });

  it('draws no control characters and no markup that somebody put into a name', () => {
    render(<Audit {...PROPS} entries={[{ ...SCALED, who: 'a\u202eb<img src=x onerror=alert(1)>' }]} />);
    expect(document.querySelector('[data-entry] img')).toBeNull();
    expect(words(7)).not.toContain('\u202e');
  });
});

describe('what changed', () => {
  it('is each key with what it was and is, and bounded', () => {
    expect(changed({ before: { a: 1, b: 'x' }, after: { a: 2, c: [1] } })).toBe('a: 1 → 2; b: "x"; c: [1]');
    expect(changed({ before: null, after: null })).toBe('');
    expect(changed({ before: null, after: { a: 'y'.repeat(1000) } })).toHaveLength(300);
  });
});
