import { fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import type { Offer } from '../../types';
import { Scaling, ScalingProps } from '../scaling';
import { click, nothing, trans, write } from './hands';
import { POLICY } from './samples';

describe('the editor of autoscaling', () => {
  const props: ScalingProps = {
    service: service('words', { autoscaling: POLICY }),
    offer: { gpus: { total: 1, free: 1 } } as Offer,
    now: 1000,
    trans,
    onSave: nothing,
    onChange: nothing,
    onEnd: async () => true,
    onResume: nothing,
    onAddRule: nothing,
    onRemoveRule: nothing,
    onAddSchedule: nothing,
    onRemoveSchedule: nothing
  };

  it('saves what was changed', async () => {
    const onChange = jest.fn(nothing);
    render(<Scaling {...props} onChange={onChange} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Save' }).disabled).toBe(true);
    write('Most', '8');
    await click('Save');
    expect(onChange).toHaveBeenCalledWith({ max: 8 });
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Save' }).disabled).toBe(true);
  });

  it('is there to be read for viewers, with nothing to press', () => {
    const rules = [
      {
        id: 'r1',
        metric: 'latency_p95',
        above: 2,
        below: null,
        step: 1,
        window: 60,
        cooldown: 60,
        min: null,
        max: null
      }
    ];
    const viewed = (autoscaling: typeof POLICY | null) => (
      <Scaling {...props} service={service('words', { autoscaling, role: 'viewer' })} />
    );
    const { rerender } = render(viewed({ ...POLICY, held: true, rules } as typeof POLICY));
    expect(screen.getByText(/Held at/)).toBeTruthy();
    expect(screen.getByText('Most').parentElement?.textContent).toBe(`Most${POLICY.max}`);
    expect(screen.getByRole('rowheader', { name: 'r1' })).toBeTruthy();
    expect(screen.queryAllByRole('button')).toEqual([]);
    expect(screen.queryAllByRole('textbox')).toEqual([]);
    rerender(viewed(null));
    expect(screen.getByText(/The number of replicas is as it was set/)).toBeTruthy();
    expect(screen.queryAllByRole('button')).toEqual([]);
  });

  it('leaves what somebody else has changed meanwhile, and tells of it where both changed the same', async () => {
    const onChange = jest.fn(nothing);
    const by = (change: Partial<typeof POLICY>) => (
      <Scaling
        {...props}
        service={service('words', { autoscaling: { ...POLICY, ...change } })}
        onChange={onChange}
      />
    );
    const { rerender } = render(by({}));
    write('Most', '8');
    write('Calls at once for each replica', '3');
    rerender(by({ min: 2, down_delay: 600 }));
    expect(screen.getByLabelText<HTMLInputElement>('Least').value).toBe('2');
    expect(screen.queryByText(/Changed meanwhile/)).toBeNull();
    rerender(by({ min: 2, max: 6, down_delay: 600 }));
    expect(screen.getByText(/Changed meanwhile by somebody else: Most is now 6/)).toBeTruthy();
    write('Calls at once for each replica', ''); // as it was
    await click('Save');
    expect(onChange.mock.calls).toEqual([[{ max: 8 }]]);
    expect(screen.queryByText(/Changed meanwhile/)).toBeNull();
    expect(screen.getByLabelText<HTMLInputElement>('Most').value).toBe('6');
  });

  it('sends the default of what was emptied, and turns the target off', async () => {
    const onChange = jest.fn(nothing);
    render(<Scaling {...props} onChange={onChange} />);
    write('Fewer only after', '');
    fireEvent.click(screen.getByLabelText('Follow the calls'));
    await click('Save');
    expect(onChange).toHaveBeenCalledWith({ down_delay: null, target: false });
  });

  it('tells at the field what is wrong, before it sends anything', async () => {
    const onChange = jest.fn(nothing);
    render(<Scaling {...props} onChange={onChange} />);
    write('Idle after', 'soon');
    await click('Save');
    const field = screen.getByLabelText('Idle after');
    expect(field.getAttribute('aria-invalid')).toBe('true');
    expect(screen.getByRole('alert').textContent).toBe('Write a time such as 90s, 15m or 2h.');
    expect(onChange).not.toHaveBeenCalled();
  });

  it('tells at the field what the server refuses, and keeps what was typed', async () => {
    const onChange = async () => {
      throw new Error('min is 9, above max, which is 4; lower it or raise max.');
    };
    render(<Scaling {...props} onChange={onChange} />);
    write('Least', '9');
    await click('Save');
    const field = screen.getByLabelText<HTMLInputElement>('Least');
    const told = field
      .getAttribute('aria-describedby')!
      .split(' ')
      .map(id => document.getElementById(id)!.textContent);
    expect(told).toContain('min is 9, above max, which is 4; lower it or raise max.');
    expect(field.value).toBe('9');
  });

  it('adds and removes rules and schedules', async () => {
    const onAddRule = jest.fn(nothing);
    const onRemoveRule = jest.fn(nothing);
    const onAddSchedule = jest.fn(nothing);
    render(<Scaling {...props} {...{ onAddRule, onRemoveRule, onAddSchedule }} />);
    await click('Remove rule r1');
    expect(onRemoveRule).toHaveBeenCalledWith('r1');
    await click('Add a Rule');
    write('Above', '75');
    await click('Add');
    expect(onAddRule).toHaveBeenCalledWith(expect.objectContaining({ metric: 'gpu_util', above: 75 }));
    await click('Add a Schedule');
    const form = within(screen.getByRole('form', { name: 'New schedule' }));
    fireEvent.change(form.getByLabelText('When'), { target: { value: 'Mon-Fri 08:00-19:00' } });
    fireEvent.change(form.getByLabelText('Least'), { target: { value: '2' } });
    await click('Add');
    expect(onAddSchedule).toHaveBeenCalledWith(
      expect.objectContaining({ when: 'Mon-Fri 08:00-19:00', min: 2 })
    );
  });

  it('proposes a metric that can be had, and says of the others why not', async () => {
    const { container } = render(<Scaling {...props} offer={{ gpus: null } as Offer} />);
    await click('Add a Rule');
    const metric = screen.getByLabelText<HTMLInputElement>('Metric');
    expect(metric.value).toBe('concurrency');
    expect(container.querySelector('option[value="gpu_util"]')?.getAttribute('label')).toBe(
      'not known: its replicas have no GPU'
    );
    expect(container.querySelector('option[value="latency_p95"]')?.getAttribute('label')).toBeNull();
    write('Metric', 'gpu_util');
    expect(screen.getByText('percent; not known: its replicas have no GPU')).toBeTruthy();
  });

  it('says before it is on that there are schedules', () => {
    render(<Scaling {...props} service={service('words')} />);
    expect(screen.getByText(/schedules \(more on weekdays\) can be added/)).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Add a Schedule' })).toBeNull();
  });

  it('says that the count is held, and resumes', async () => {
    const onResume = jest.fn(nothing);
    render(
      <Scaling
        {...props}
        service={service('words', { autoscaling: { ...POLICY, held: true } })}
        onResume={onResume}
      />
    );
    expect(screen.getByText(/Held at 1 replica, since it was scaled by hand/)).toBeTruthy();
    await click('Resume Autoscaling');
    expect(onResume).toHaveBeenCalled();
  });
});
