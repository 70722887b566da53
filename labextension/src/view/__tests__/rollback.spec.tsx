import { act, fireEvent, waitFor, within } from '@testing-library/react';

import { service } from '../../__tests__/fakes';
import type { Revision } from '../../types';
import { confirmRollback } from '../rollback';
import { trans } from './hands';

function revision(number: number, port: number, files = 3): Revision {
  return {
    number,
    created_at: number,
    folder: '/m',
    model_name: 'm',
    image: null,
    environment: [],
    mounts: [],
    resources: { cpus: null, memory: null, gpus: 0 },
    files: {
      kind: 'copy',
      source: 'copy',
      files,
      bytes: 10 * files,
      linked: 0,
      path: `/c${number}`,
      why: null,
      fingerprint: `f${files}`
    },
    definition: { port }
  };
}

async function asked(revisions: Revision[], answer: string): Promise<[said: string, wanted: boolean]> {
  const words = service('words', { revision: 2, revisions });
  let question!: Promise<boolean>;
  await act(async () => {
    question = confirmRollback(words, 'ann/words', 1, trans);
  });
  const dialog = await waitFor(() => {
    const found = document.querySelector<HTMLElement>('.jp-Dialog');
    expect(found?.textContent).toContain('becomes active');
    return found!;
  });
  const said = dialog.textContent ?? '';
  await act(async () => {
    fireEvent.click(within(dialog).getByText(answer));
  });
  return [said, await question];
}

it('asks before a service goes back, and says what that changes', async () => {
  const [said, wanted] = await asked([revision(1, 8000), revision(2, 8001, 4)], 'Roll Back');
  expect(said).toContain('Roll ann/words back to revision 1?');
  expect(said).toContain('New replicas come up before the present ones go.');
  expect(said).toContain('files: 4 files kept, 40 B → 3 files kept, 30 B');
  expect(said).toContain('definition.port: 8001 → 8000');
  expect(wanted).toBe(true);
});

it('says so where nothing differs, and takes a no', async () => {
  const [said, wanted] = await asked([revision(1, 8000), revision(2, 8000)], 'Cancel');
  expect(said).toContain('Nothing that is known of it differs from revision 2.');
  expect(wanted).toBe(false);
});
