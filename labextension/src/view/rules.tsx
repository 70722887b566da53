/** Rules and schedules of a policy: listed, added, removed. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import type { Rule, RuleSpec, Schedule, ScheduleSpec } from '../types';
import { FormEnd, useForm } from './form';
import { Button, Field, Notice, Table, useWork } from './pieces';
import { newRule, newSchedule, Problems, ruleFrom, RuleForm, scheduleFrom, ScheduleForm } from './policy';
import { measure, metricUnits, writeSpan } from './units';

export interface RulesProps {
  rules: readonly Rule[];
  /** Why some metrics cannot be known here. */
  unknown: Readonly<Record<string, string>>;
  /** Whether she who looks may add and remove some. */
  changeable: boolean;
  trans: TranslationBundle;
  onAddRule: (rule: RuleSpec) => Promise<void>;
  onRemoveRule: (id: string) => Promise<void>;
}

export interface SchedulesProps {
  schedules: readonly Schedule[];
  changeable: boolean;
  trans: TranslationBundle;
  onAddSchedule: (schedule: ScheduleSpec) => Promise<void>;
  onRemoveSchedule: (id: string) => Promise<void>;
}

export function Rules({
  rules,
  unknown,
  changeable,
  trans,
  onAddRule,
  onRemoveRule
}: RulesProps): JSX.Element {
  const units = metricUnits(trans);
  const figure = (rule: Rule, value: number | null) =>
    value === null ? '–' : measure(rule.metric, value, trans);
  return (
    <Listed
      title={trans.__('Rules')}
      columns={[
        trans.__('Rule'),
        trans.__('Metric'),
        trans.__('Above'),
        trans.__('Below'),
        trans.__('Step'),
        trans.__('Mean of'),
        trans.__('Rests'),
        trans.__('Replicas')
      ]}
      items={rules}
      changeable={changeable}
      cells={rule => (
        <>
          <td>{rule.metric}</td>
          <td className="jp-mod-figure">{figure(rule, rule.above)}</td>
          <td className="jp-mod-figure">{figure(rule, rule.below)}</td>
          <td className="jp-mod-figure">{rule.step}</td>
          <td className="jp-mod-figure">{writeSpan(rule.window)}</td>
          <td className="jp-mod-figure">{writeSpan(rule.cooldown)}</td>
        </>
      )}
      removing={id => trans.__('Remove rule %1', id)}
      trans={trans}
      onRemove={onRemoveRule}
    >
      <Adding<RuleForm, RuleSpec>
        invitation={trans.__('Add a Rule')}
        label={trans.__('New rule')}
        empty={() => newRule(unknown)}
        names={['metric', 'above', 'below', 'step', 'window', 'cooldown', 'min', 'max']}
        fields={({ metric }) => [
          {
            name: 'metric',
            label: trans.__('Metric'),
            help: [units[metric.trim()] ?? '', unknown[metric.trim()] ?? ''].filter(Boolean).join('; '),
            width: 22,
            choices: Object.keys(units),
            remarks: unknown
          },
          { name: 'above', label: trans.__('Above'), help: trans.__('adds replicas') },
          { name: 'below', label: trans.__('Below'), help: trans.__('takes them away') },
          { name: 'step', label: trans.__('Step'), help: trans.__('so many at a time') },
          { name: 'window', label: trans.__('Mean of') },
          { name: 'cooldown', label: trans.__('Rests'), help: trans.__('when it has fired') },
          { name: 'min', label: trans.__('Least') },
          { name: 'max', label: trans.__('Most') }
        ]}
        read={form => ruleFrom(form, trans)}
        trans={trans}
        onAdd={onAddRule}
      />
    </Listed>
  );
}

const CRON = /^\s*[^A-Za-z\s]+(\s+\S+){4}\s*$/; // its five fields tell when something begins, and not for how long

export function Schedules(props: SchedulesProps): JSX.Element {
  const { schedules, trans } = props;
  return (
    <Listed
      title={trans.__('Schedules')}
      columns={[trans.__('Schedule'), trans.__('When'), trans.__('Time zone'), trans.__('Replicas')]}
      items={schedules}
      changeable={props.changeable}
      cells={({ when, duration, timezone }) => (
        <>
          <td>{duration === null ? when : trans.__('%1 for %2', when, writeSpan(duration))}</td>
          <td>{timezone}</td>
        </>
      )}
      removing={id => trans.__('Remove schedule %1', id)}
      trans={trans}
      onRemove={props.onRemoveSchedule}
    >
      <Adding<ScheduleForm, ScheduleSpec>
        invitation={trans.__('Add a Schedule')}
        label={trans.__('New schedule')}
        empty={newSchedule}
        names={['when', 'timezone', 'duration', 'min', 'max']}
        fields={({ when }, problems) => [
          {
            name: 'when',
            label: trans.__('When'),
            help: trans.__('such as Mon-Fri 08:00-19:00, or cron’s five fields'),
            width: 26
          },
          { name: 'timezone', label: trans.__('Time zone'), width: 18 },
          ...(CRON.test(when) || problems['duration']
            ? ([{ name: 'duration', label: trans.__('For'), help: trans.__('such as 2h') }] as const)
            : []),
          { name: 'min', label: trans.__('Least') },
          { name: 'max', label: trans.__('Most') }
        ]}
        read={form => scheduleFrom(form, trans)}
        trans={trans}
        onAdd={props.onAddSchedule}
      />
    </Listed>
  );
}

interface ListedProps<Item> {
  title: string;
  /** Of the cells; before them stands the id, behind them what is done with it. */
  columns: readonly string[];
  items: readonly Item[];
  changeable: boolean;
  cells: (item: Item) => React.ReactNode;
  /** "Remove rule r1" */
  removing: (id: string) => string;
  trans: TranslationBundle;
  onRemove: (id: string) => Promise<void>;
  /** The form for another one. */
  children: React.ReactNode;
}

function Listed<Item extends Rule | Schedule>(props: ListedProps<Item>): JSX.Element {
  const { title, items, changeable, trans } = props;
  const { busy, refused, run } = useWork();
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {items.length > 0 && (
        <Table caption={title} columns={changeable ? [...props.columns, ''] : props.columns}>
          {items.map(each => (
            <tr key={each.id} data-item={each.id}>
              <th scope="row">{each.id}</th>
              {props.cells(each)}
              <td>{ownBounds(each, trans)}</td>
              {changeable && (
                <td>
                  <Button
                    text={trans.__('Remove')}
                    label={props.removing(each.id)}
                    disabled={busy}
                    onClick={() => void run(() => props.onRemove(each.id))}
                  />
                </td>
              )}
            </tr>
          ))}
        </Table>
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
      {changeable ? props.children : items.length === 0 && <p>{trans.__('none')}</p>}
    </section>
  );
}

interface FieldOf<Form> {
  name: keyof Form & string;
  label: string;
  help?: string;
  width?: number;
  choices?: readonly string[];
  remarks?: Readonly<Record<string, string>>;
}

interface AddingProps<Form, Body> {
  /** On the button that opens the form. */
  invitation: string;
  label: string;
  empty: () => Form;
  /** Of all its fields, as the server names them in what it says. */
  names: ReadonlyArray<keyof Form & string>;
  /** Those that are shown now. */
  fields: (form: Form, problems: Problems) => ReadonlyArray<FieldOf<Form>>;
  read: (form: Form) => { body: Body; problems: Problems };
  trans: TranslationBundle;
  onAdd: (body: Body) => Promise<void>;
}

/** A button, and once it is pressed a form in its place, which goes when what is written in it was taken. */
function Adding<Form extends object, Body>(props: AddingProps<Form, Body>): JSX.Element {
  const { trans, onAdd } = props;
  const [form, setForm] = useState<Form | null>(null);
  const { problems, busy, submit, clear } = useForm(props.names, trans);
  if (form === null) {
    return (
      <div className="jp-ModelService-bar">
        <Button text={props.invitation} onClick={() => setForm(props.empty())} />
      </div>
    );
  }
  const close = () => {
    clear();
    setForm(null);
  };
  return (
    <form
      className="jp-ModelService-form"
      aria-label={props.label}
      onSubmit={event =>
        void submit(event, props.read(form), async body => {
          await onAdd(body);
          close();
        })
      }
    >
      {props.fields(form, problems).map(({ name, ...field }) => (
        <Field
          key={name}
          width={8}
          {...field}
          value={String(form[name])}
          problem={problems[name]}
          onChange={value => setForm({ ...form, [name]: value })}
        />
      ))}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      <FormEnd text={trans.__('Add')} busy={busy} trans={trans} onCancel={close} />
    </form>
  );
}

function ownBounds(item: Rule | Schedule, trans: TranslationBundle): string {
  const told = [
    item.min === null ? '' : trans.__('%1 at least', item.min),
    item.max === null ? '' : trans.__('%1 at most', item.max)
  ].filter(Boolean);
  return told.join(', ') || '–';
}
