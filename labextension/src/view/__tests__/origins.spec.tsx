import { render, screen } from '@testing-library/react';
import React from 'react';

import { Origins } from '../origins';
import { click, nothing, trans, write } from './hands';

const ONE = 'https://app.example.org';
const LABEL = 'Let pages of this origin call it';

describe('pages of other sites', () => {
  it('are none until the owner lets some, one or several at a time', async () => {
    const onOrigins = jest.fn(nothing);
    const { rerender } = render(<Origins origins={[]} trans={trans} onOrigins={onOrigins} />);
    expect(screen.getByText('Pages of no other site may call it from a browser.')).toBeTruthy();
    const allow = screen.getByRole<HTMLButtonElement>('button', { name: 'Allow' });
    expect(allow.disabled).toBe(true);
    write(LABEL, ` ${ONE} `);
    await click('Allow');
    expect(onOrigins).toHaveBeenLastCalledWith([ONE]);
    expect(screen.getByLabelText<HTMLInputElement>(LABEL).value).toBe('');
    rerender(<Origins origins={[ONE]} trans={trans} onOrigins={onOrigins} />);
    write(LABEL, 'http://localhost:3000, http://localhost:3001');
    await click('Allow');
    expect(onOrigins).toHaveBeenLastCalledWith([ONE, 'http://localhost:3000', 'http://localhost:3001']);
  });

  it('are taken off the list one by one', async () => {
    const onOrigins = jest.fn(nothing);
    render(<Origins origins={[ONE, 'http://localhost:3000']} trans={trans} onOrigins={onOrigins} />);
    expect([...document.querySelectorAll('[data-origin] code')].map(each => each.textContent)).toEqual([
      ONE,
      'http://localhost:3000'
    ]);
    await click(`Let pages of ${ONE} call it no more`);
    expect(onOrigins).toHaveBeenCalledWith(['http://localhost:3000']);
  });

  it('keeps what was typed, and says what is wrong with it', async () => {
    const refuse = async () => {
      throw new Error("'*' is no origin: write scheme and host.");
    };
    render(<Origins origins={[]} trans={trans} onOrigins={refuse} />);
    write(LABEL, '*');
    await click('Allow');
    expect(screen.getByRole('alert').textContent).toBe("'*' is no origin: write scheme and host.");
    expect(screen.getByLabelText<HTMLInputElement>(LABEL).value).toBe('*');
  });
});
