import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { Tabs } from '../tabs';

describe('the tabs', () => {
  const tabs = [
    { id: 'overview', text: 'Overview' },
    { id: 'logs', text: 'Logs' },
    { id: 'events', text: 'Events' }
  ] as const;

  it('are gone through with the arrows, around the ends; only the shown one is in the order of Tab', () => {
    const onTab = jest.fn();
    render(<Tabs label="x" prefix="p" tabs={tabs} shown="overview" onTab={onTab} />);
    expect(screen.getAllByRole('tab').map(each => each.tabIndex)).toEqual([0, -1, -1]);
    const list = screen.getByRole('tablist');
    for (const key of ['ArrowRight', 'ArrowLeft', 'End', 'Home']) {
      fireEvent.keyDown(list, { key });
    }
    expect(onTab.mock.calls).toEqual([['logs'], ['events'], ['events'], ['overview']]);
    expect(document.activeElement?.textContent).toBe('Overview');
  });
});
