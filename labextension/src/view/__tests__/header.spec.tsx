import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import { Endpoint, Header, HeaderProps } from '../header';
import { none, trans } from './hands';

describe('the header', () => {
  const props: HeaderProps = {
    service: service('words', { replicas: { want: 2, ready: 1, total: 2 } }),
    wanted: 3,
    most: 4,
    pending: null,
    copy: null,
    trans,
    onScale: none,
    onStart: none,
    onStop: none,
    onRestart: none,
    onUpdate: none,
    onDelete: none,
    onCopy: none
  };

  it('counts what was asked for just now, and scales', () => {
    const onScale = jest.fn();
    render(<Header {...props} onScale={onScale} />);
    expect(screen.getByText('1 of 3 ready')).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'One replica more of ann/words' }));
    fireEvent.click(screen.getByRole('button', { name: 'One replica fewer of ann/words' }));
    expect(onScale.mock.calls).toEqual([[1], [-1]]);
  });

  it('goes neither below zero nor above what may be asked for', () => {
    const { rerender } = render(<Header {...props} wanted={4} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: /One replica more/ }).disabled).toBe(true);
    rerender(<Header {...props} wanted={0} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: /One replica fewer/ }).disabled).toBe(true);
  });

  it('tells the reason of a state to who listens, and what is being done instead while it is', () => {
    const bad = service('words', { state: 'degraded', reason: 'One replica has died.' });
    const { rerender } = render(<Header {...props} service={bad} />);
    expect(screen.getByText('Degraded')).toBeTruthy();
    expect(screen.getAllByRole('status')[0].textContent).toBe('One replica has died.');
    rerender(<Header {...props} service={bad} pending="Restarting" />);
    expect(screen.getAllByRole('status')[0].textContent).toBe('Restarting …');
  });

  it('offers to start what is stopped, and not to stop it', () => {
    render(<Header {...props} service={service('words', { state: 'stopped', public: true })} />);
    expect(screen.getByRole('button', { name: 'Start' })).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Stop' })).toBeNull();
    expect(screen.getByText('public')).toBeTruthy();
  });

  it('says that the endpoint is copied', () => {
    const onCopy = jest.fn();
    render(<Header {...props} onCopy={onCopy} />);
    fireEvent.click(screen.getByRole('button', { name: 'Copy the endpoint' }));
    expect(onCopy).toHaveBeenCalledWith('http://127.0.0.1:1/endpoints/ann/words/');
    expect(screen.getByRole('button', { name: 'Copied' })).toBeTruthy();
  });
});

describe('the endpoint', () => {
  const shown = (page: string | null) =>
    render(<Endpoint service={service('words', { page })} trans={trans} onCopy={none} />);

  it('has a way to the page, which learns nothing of where one came from', () => {
    shown('http://words--ann.localhost:8910/');
    const link = screen.getByRole<HTMLAnchorElement>('link', { name: 'Open the page of ann/words' });
    expect(link.href).toBe('http://words--ann.localhost:8910/');
    expect([link.target, link.rel]).toEqual(['_blank', 'noopener noreferrer']);
  });

  it.each([null, '', 'javascript:alert(1)'])('has none where there is no page (%s)', page => {
    shown(page);
    expect(screen.queryByRole('link')).toBeNull();
  });
});
