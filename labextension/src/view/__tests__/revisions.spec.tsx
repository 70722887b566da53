import { render, screen } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import { Definition, Revisions } from '../revisions';
import { click, none, nothing, trans } from './hands';

describe('the revisions', () => {
  const revision = (number: number, port: number): any => ({
    number,
    created_at: number,
    folder: '/m',
    model_name: 'm',
    image: null,
    environment: [],
    mounts: [],
    resources: { cpus: null, memory: null, gpus: 0 },
    files: {
      kind: 'live',
      source: 'live',
      files: 0,
      bytes: 0,
      linked: 0,
      path: null,
      why: null,
      fingerprint: null
    },
    definition: { name: 'm', port }
  });
  const two = service('words', {
    revision: 2,
    stable_revision: 1,
    revisions: [revision(1, 8000), revision(2, 8001)]
  });

  it('tell what serves, what differs, and go back', async () => {
    const onRollback = jest.fn(nothing);
    render(
      <Revisions service={two} trans={trans} onTakeUp={nothing} onUpdate={none} onRollback={onRollback} />
    );
    const rows = screen.getAllByRole('row').slice(1);
    expect(rows[0].textContent).toContain('2 active');
    expect(rows[1].textContent).toContain('serving');
    await click('What differs from revision 1');
    expect(screen.getByRole('rowheader', { name: 'definition.port' }).closest('tr')?.textContent).toBe(
      'definition.port80008001'
    );
    await click('Roll back to revision 1');
    expect(onRollback).toHaveBeenCalledWith(1);
  });

  it('are there to be read for who may not go back', async () => {
    render(
      <Revisions
        service={{ ...two, role: 'viewer' }}
        trans={trans}
        onTakeUp={nothing}
        onUpdate={none}
        onRollback={nothing}
      />
    );
    await click('What differs from revision 1');
    expect(screen.getAllByRole('button').map(each => each.textContent)).toEqual(['Hide']);
  });

  it('say which files have changed, and take them up', async () => {
    const onTakeUp = jest.fn(nothing);
    render(
      <Revisions
        service={{ ...two, changed: ['serve.py'] }}
        trans={trans}
        onTakeUp={onTakeUp}
        onUpdate={none}
        onRollback={nothing}
      />
    );
    expect(screen.getByText('Changed in the folder since revision 2: serve.py')).toBeTruthy();
    await click('Take Up the Changes');
    expect(onTakeUp).toHaveBeenCalled();
  });

  it('have a definition to be read', () => {
    render(<Definition service={two} trans={trans} onCopy={none} />);
    expect(screen.getByLabelText('Definition').textContent).toBe('name: m\nport: 8001\n');
  });
});
