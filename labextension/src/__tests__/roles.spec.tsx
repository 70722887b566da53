import { nullTranslator } from '@jupyterlab/translation';
import { render, screen } from '@testing-library/react';
import React from 'react';

import { may, Role } from '../roles';
import { Header } from '../view/header';
import { isFor, TABS } from '../view/tabs';
import { service } from './fakes';

const none = () => undefined;
const trans = nullTranslator.load('');
const as = (role: Role) => service('words', { role });

it('may as much as those before it, and everything where no role is told', () => {
  expect(may(as('viewer'), 'caller')).toBe(true);
  expect(may(as('viewer'), 'operator')).toBe(false);
  expect(may({ role: undefined }, 'owner')).toBe(true);
  expect(may(null, 'caller')).toBe(false);
});

it.each([
  ['viewer', ['Copy the endpoint']],
  [
    'operator',
    [
      'One replica fewer of ann/words',
      'One replica more of ann/words',
      'Restart',
      'Stop',
      'Copy the endpoint'
    ]
  ]
] as const)('is not offered what it may not: %s', (role, offered) => {
  const actions = {
    onScale: none,
    onStart: none,
    onStop: none,
    onRestart: none,
    onUpdate: none,
    onDelete: none,
    onCopy: none
  };
  render(
    <Header {...actions} service={as(role)} wanted={1} most={4} pending={null} copy={null} trans={trans} />
  );
  const buttons = screen.getAllByRole('button');
  expect(buttons.map(each => each.getAttribute('aria-label') ?? each.textContent)).toEqual(offered);
  expect(screen.getByText(`shared by ann: you are ${role}`)).toBeTruthy();
});

it('sees no tabs whose whole content is for others', () => {
  const tabs = (role: Role) => TABS.filter(each => isFor(as(role), each)).join(' ');
  expect(tabs('viewer')).toBe('overview try logs events decisions scaling revisions share');
  expect(tabs('operator')).toBe('overview try logs events decisions scaling revisions share');
  expect(tabs('owner')).toBe(TABS.join(' '));
});
