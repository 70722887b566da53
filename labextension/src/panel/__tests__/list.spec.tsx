import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import { Autoscaling } from '../../api';
import { List, ListProps } from '../list';
import { points } from '../spark';

const trans = nullTranslator.load('jupyter_model_service');

function props(more: Partial<ListProps> = {}): ListProps {
  return {
    status: 'ready',
    problem: null,
    connected: 'stream',
    services: [],
    shared: [],
    user: 'ann',
    most: 3,
    wanted: () => 1,
    pending: () => null,
    copies: new Map(),
    calls: () => [],
    trans,
    onOpen: jest.fn(),
    onScale: jest.fn(),
    onDeploy: jest.fn(),
    onRetry: jest.fn(),
    onCopy: jest.fn(),
    onTry: jest.fn(),
    onShown: jest.fn(),
    onDrawn: jest.fn(),
    ...more
  };
}

const rows = () => screen.getAllByRole('listitem');

describe('the list', () => {
  it('has what others share: what one may call with its endpoint, what one may not scale without a way to', () => {
    const chat = {
      owner: 'bob',
      name: 'chat',
      state: 'ready',
      endpoint: 'http://127.0.0.1:1/endpoints/bob/chat/',
      page: 'https://chat--bob.models.example.org/',
      role: 'caller' as const
    };
    const services = [service('a', { role: 'viewer' }), service('b', { visibility: 'shared' })];
    const given = props({ services, shared: [chat] });
    render(<List {...given} />);
    const [a, b, shared] = rows();
    expect(a.textContent).toContain('viewer');
    expect(b.textContent).toContain('shared');
    const more = (of: HTMLElement) =>
      of.querySelector<HTMLButtonElement>('[aria-label^="One replica more"]')!;
    expect([more(a).disabled, more(b).disabled]).toEqual([true, false]);
    expect(shared.textContent).toContain('bob/chat');
    expect(shared.textContent).toContain('caller');
    fireEvent.click(screen.getByRole('button', { name: 'Copy the endpoint of bob/chat' }));
    expect(given.onCopy).toHaveBeenCalledWith(chat.endpoint);
    const link = screen.getByRole<HTMLAnchorElement>('link', { name: 'Open the page of bob/chat' });
    expect(link.href).toBe(chat.page);
    fireEvent.click(screen.getByRole('button', { name: 'Try bob/chat' }));
    expect(given.onTry).toHaveBeenCalledWith('bob/chat');
  });

  it('says what to do where there is nothing', () => {
    const given = props();
    render(<List {...given} />);
    expect(screen.getByRole('status').textContent).toMatch('There are no model services yet');
    fireEvent.click(screen.getByRole('button', { name: 'New Service' }));
    expect(given.onDeploy).toHaveBeenCalled();
  });

  it('says that it is looking, in a place that screen readers read', () => {
    render(<List {...props({ status: 'loading' })} />);
    expect(screen.getByRole('status').getAttribute('aria-busy')).toBe('true');
  });

  it('says what is wrong, and lets one try again where that may help', () => {
    const given = props({ status: 'error', problem: 'The gateway does not answer.' });
    const shown = render(<List {...given} />);
    expect(screen.getByRole('alert').textContent).toMatch('The gateway does not answer.');
    fireEvent.click(screen.getByRole('button', { name: 'Try Again' }));
    expect(given.onRetry).toHaveBeenCalled();
    shown.rerender(<List {...props({ status: 'missing', problem: 'Install it.' })} />);
    expect(screen.getByRole('alert').textContent).toBe('Install it.');
    expect(screen.queryByRole('button')).toBeNull();
  });

  it('keeps the rows when the server goes, and says that they may be old', () => {
    render(<List {...props({ services: [service('a')], problem: 'The server does not answer.' })} />);
    expect(screen.getByRole('alert').textContent).toBe(
      'What is shown may be old: The server does not answer.'
    );
    expect(rows()).toHaveLength(1);
  });

  it('tells state, replicas, reason and what is being done in words', () => {
    const bad = service('a', {
      state: 'failed',
      reason: 'The start command ended with code 3.',
      replicas: { want: 2, ready: 0, total: 1 },
      public: true
    });
    const { rerender } = render(<List {...props({ services: [bad], wanted: () => 2 })} />);
    for (const words of [
      'Failed',
      'The start command ended with code 3.',
      '0 of 2 replicas are ready',
      'public'
    ]) {
      expect(rows()[0].textContent).toContain(words);
    }
    rerender(<List {...props({ services: [bad], pending: () => 'Restarting' })} />);
    expect(rows()[0].textContent).toContain('Restarting …');
    expect(rows()[0].textContent).not.toContain('The start command');
  });

  it('says within which bounds a service is scaled by itself, and when that rests', () => {
    const autoscaling = { min: 1, max: 4, held: false, bounds: { min: 2, max: 4 } } as Autoscaling;
    const { rerender } = render(<List {...props({ services: [service('a', { autoscaling })] })} />);
    expect(rows()[0].textContent).toContain('auto 2–4');
    rerender(
      <List {...props({ services: [service('a', { autoscaling: { ...autoscaling, held: true } })] })} />
    );
    expect(rows()[0].textContent).toContain('held');
  });

  it('scales by one, not below nothing and not above what is allowed', () => {
    const given = props({ services: [service('a')], wanted: () => 3 });
    const { rerender } = render(<List {...given} />);
    const button = (name: string) => screen.getByRole('button', { name }) as HTMLButtonElement;
    fireEvent.click(button('One replica fewer of a'));
    expect(given.onScale).toHaveBeenCalledWith('ann/a', -1);
    expect(button('One replica more of a').disabled).toBe(true);
    rerender(<List {...given} wanted={() => 0} />);
    expect(button('One replica fewer of a').disabled).toBe(true);
  });

  it('names the owner only where there are several', () => {
    const { rerender } = render(<List {...props({ services: [service('a'), service('b')] })} />);
    expect(screen.queryByText('ann/a')).toBeNull();
    rerender(<List {...props({ services: [service('a'), service('b', { owner: 'bob' })] })} />);
    expect(screen.queryByText('ann/a')).not.toBeNull();
  });

  it('is one stop of the Tab key, in which the arrows go around', () => {
    const services = ['a', 'b', 'c'].map(name => service(name));
    render(<List {...props({ services })} />);
    const reachable = () => rows().map(row => within(row).getAllByRole('button')[0].tabIndex);
    expect(reachable()).toEqual([0, -1, -1]);
    const more = (name: string) => screen.getByRole('button', { name: `One replica more of ${name}` });
    act(() => more('a').focus());
    fireEvent.keyDown(more('a'), { key: 'ArrowDown' });
    expect(document.activeElement).toBe(more('b'));
    expect(reachable()).toEqual([-1, 0, -1]);
    fireEvent.keyDown(more('b'), { key: 'End' });
    expect(document.activeElement).toBe(more('c'));
    fireEvent.keyDown(more('c'), { key: 'ArrowLeft' });
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'One replica fewer of c' }));
  });

  it('finds one of many by its name', () => {
    const services = Array.from({ length: 20 }, (_, i) => service(`model-${i}`));
    render(<List {...props({ services })} />);
    fireEvent.change(screen.getByRole('searchbox', { name: 'Find a service' }), {
      target: { value: 'EL-7' }
    });
    expect(rows()).toHaveLength(1);
    fireEvent.change(screen.getByRole('searchbox'), { target: { value: 'nothing' } });
    expect(screen.getByRole('status').textContent).toBe('No service is named like “nothing”.');
  });
});

it('the picture of calls goes from the left to the right, with the greatest at the top', () => {
  expect(points([0, 4, 2], 100, 12)).toBe('0.0,11.0 50.0,1.0 100.0,6.0');
});
