/** What the tests of components do, as a person would, and what they give where nothing is asked of it. */
import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, screen } from '@testing-library/react';

export const trans = nullTranslator.load('');
export const none = () => undefined;
export const nothing = async () => undefined;

export async function click(name: string | RegExp): Promise<void> {
  await act(async () => {
    fireEvent.click(screen.getByRole('button', { name }));
  });
}

export function write(label: string | RegExp, value: string): void {
  fireEvent.change(screen.getByLabelText(label), { target: { value } });
}
